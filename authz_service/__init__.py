"""Authentication, tiers and exact rate limits behind Envoy's ext_authz."""

__version__ = "0.1.0"
