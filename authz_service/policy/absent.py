"""What is enforced without a policy file: nobody is let in anywhere."""

from typing import Final

from authz_service.core.rules import Policy, Upstream
from authz_service.policy.limits import bad_credentials
from authz_service.policy.schema import PolicyFile

NO_POLICY: Final = Policy(
    digest="none",
    metrics_prefix="authz",
    trusted_hops=0,
    body_overhead_bytes=0,
    cors_origins=(),
    quota_time_zone="UTC",
    bad_credentials=bad_credentials(PolicyFile.model_fields["bad_credentials"].default),
    # Nothing is ever sent there: without routes nobody is told where it is.
    upstream=Upstream(host="127.0.0.1", port=0, timeout_ms=1),
    tiers={},
    routes=(),
)
"""No request has a route, so every check is refused. No Envoy is configured by it."""
