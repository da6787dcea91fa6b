"""Decide: plain, synchronous functions of values. No I/O, no clock, no `await`."""
