"""The limits that tiers and routes of a policy file stand for."""

from authz_service.core.charges import quota
from authz_service.core.rules import Rate, Tier
from authz_service.policy.schema import RouteLimitPart, TierPart


def tier(name: str, part: TierPart, zone: str) -> Tier:
    """A tier with its limits. Limits are named by their window, so tiers share the counters."""
    return Tier(
        name=name,
        rate=_rate(*part.rate) if part.rate else None,
        quota=quota(*part.quota, zone) if part.quota else None,
        max_upload_bytes=part.max_upload,
    )


def route_limit(part: RouteLimitPart) -> Rate:
    """A limit under a name of its own, which routes may share."""
    _, limit, window_ms = part.rate
    return _rate(part.name, limit, window_ms)


def bad_credentials(rate: tuple[str, int, int]) -> Rate:
    """How often an address may present a credential that is no good."""
    _, limit, window_ms = rate
    return _rate("bad-credentials", limit, window_ms)


def _rate(name: str, limit: int, window_ms: int) -> Rate:
    return Rate(name=name, limit=limit, window_ms=window_ms)
