"""Envoy's configuration, made from the policy. Plain data in, YAML text out; no sockets."""
