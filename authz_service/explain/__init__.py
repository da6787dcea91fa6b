"""Explain: how one request would be answered and why, by the server's engine, without counting."""
