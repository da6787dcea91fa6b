"""Look up who: the keys we know."""
