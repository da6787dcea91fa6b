"""Compile: a policy file to immutable rules."""
