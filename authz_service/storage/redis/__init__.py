"""Counters in Redis or Valkey, over one multiplexed connection."""
