"""Descriptors: a folder of rate limit files to immutable rules, or everything wrong with it."""
