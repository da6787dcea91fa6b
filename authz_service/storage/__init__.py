"""Count: adapters that keep counters behind one small protocol."""
