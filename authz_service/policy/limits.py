"""The limits that tiers and routes stand for, and what a request takes from them."""

from authz_service.core.rules import Charge, Period, Quota, Rate, Tier
from authz_service.policy.schema import RouteLimitPart, TierPart


def tier(name: str, part: TierPart, zone: str) -> Tier:
    """A tier with its limits. Limits are named by their window, so tiers share the counters."""
    return Tier(
        name=name,
        rate=_rate(*part.rate) if part.rate else None,
        quota=_quota(*part.quota, zone) if part.quota else None,
        max_upload_bytes=part.max_upload,
    )


def route_limit(part: RouteLimitPart) -> Rate:
    """A limit under a name of its own, which routes may share."""
    _, limit, window_ms = part.rate
    return _rate(part.name, limit, window_ms)


def charges(tier: Tier, cost: int, route_limits: tuple[Rate, ...]) -> tuple[Charge, ...]:
    """Everything one request takes: `cost` from the tier's limits, 1 from the route's own.

    A limit of which a request takes nothing has no part in it.
    """
    own = tuple(Charge(limit, 1) for limit in route_limits)
    if cost == 0:
        return own
    tier_limits = (tier.rate, tier.quota)
    return tuple(Charge(limit, cost) for limit in tier_limits if limit is not None) + own


def _rate(name: str, limit: int, window_ms: int) -> Rate:
    return Rate(name=name, limit=limit, window_ms=window_ms)


def _quota(limit: int, period: Period, zone: str) -> Quota:
    return Quota(name=f"per-{period}", limit=limit, period=period, zone=zone)
