"""The limits that tiers and routes of a policy file stand for."""

from authz_service.core.charges import quota
from authz_service.core.rules import Quota, Rate, StoreFailure, Tier
from authz_service.policy.schema import RouteLimitPart, TierPart


def tier(name: str, part: TierPart, zone: str) -> Tier:
    """A tier with its limits. Limits are named by their window, so tiers share the counters."""
    return Tier(
        name=name,
        rate=_rate(*part.rate, part.rate_on_store_failure) if part.rate else None,
        quota=_quota(part, zone),
        max_upload_bytes=part.max_upload,
    )


def route_limit(part: RouteLimitPart) -> Rate:
    """A limit under a name of its own, which routes may share."""
    _, limit, window_ms = part.rate
    return _rate(part.name, limit, window_ms, part.on_store_failure)


def bad_credentials(rate: tuple[str, int, int]) -> Rate:
    """How often an address may present a credential that is no good."""
    _, limit, window_ms = rate
    return _rate("bad-credentials", limit, window_ms)


def _quota(part: TierPart, zone: str) -> Quota | None:
    if part.quota is None:
        return None
    return quota(*part.quota, zone, _store_failure(part.quota_on_store_failure))


def _rate(name: str, limit: int, window_ms: int, on_store_failure: str | None = None) -> Rate:
    return Rate(
        name=name,
        limit=limit,
        window_ms=window_ms,
        on_store_failure=_store_failure(on_store_failure),
    )


def _store_failure(said: str | None) -> StoreFailure | None:
    return None if said is None else StoreFailure(said)
