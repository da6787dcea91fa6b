"""Jobs in one Redis or Valkey server. Every change of more than one key is one script."""
