"""Limits and small words that the behaviours of this folder are told in."""

from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Limit, Period, Quota, Rate
from authz_service.storage.base import CounterStore
from tests.conformance.storage.bench import Bench

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MANY = 1_001
"""The places that a request takes where a few requests shall fill a limit counted in buckets."""


def rate(limit: int, window_ms: int, name: str = "rate") -> Rate:
    """Make a sliding window."""
    return Rate(name=name, limit=limit, window_ms=window_ms)


def quota(limit: int, period: Period = Period.DAY, zone: str = "UTC", name: str = "quota") -> Quota:
    """Make a quota."""
    return Quota(name=name, limit=limit, period=period, zone=zone)


async def ask(
    store: Bench | CounterStore,
    *limits: Limit,
    cost: int = 1,
    subject: str = "key:a",
    once: str | None = None,
) -> Metered:
    """Charge every limit the same cost."""
    if hasattr(store, "stores"):
        store = store.stores[0]
    return await store.charge(subject, tuple(Charge(limit, cost) for limit in limits), once=once)


def told(metered: Metered) -> tuple[bool, list[tuple[int, int, int]]]:
    """Put an answer in short: admitted, and (remaining, reset, retry) for each limit."""
    figures = [(r.remaining, r.reset_ms, r.retry_after_ms) for r in metered.readings]
    return metered.admitted, figures
