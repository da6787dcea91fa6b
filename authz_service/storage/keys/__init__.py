"""API keys in Redis or Valkey: their records, and every change of them."""
