"""Small words that the behaviours of several counters of one request are told in."""

from authz_service.core.hits import Counted, Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.storage.base import CounterStore
from tests.conformance.storage.bench import Bench


def fixed(limit: int, window_ms: int, name: str = "fixed") -> Fixed:
    """Make windows that begin with the epoch."""
    return Fixed(name=name, limit=limit, window_ms=window_ms)


def hit(
    limit: Rate | Fixed,
    cost: int = 1,
    says: Says = Says.REFUSES,
    *,
    subject: str = "key:a",
    held: int = 0,
) -> Hit:
    """Make a hit."""
    return Hit(subject, limit, cost, says, held=held)


async def count(store: Bench | CounterStore, *hits: Hit, once: str | None = None) -> Counted:
    """Count one request."""
    if hasattr(store, "stores"):
        store = store.stores[0]
    return await store.hit(hits, once=once)


def figures(counted: Counted) -> tuple[bool, list[tuple[bool, int, int, int]]]:
    """Put an answer in short: over, and (over, remaining, reset, retry) for each hit."""
    return counted.over, [
        (it.over, it.remaining, it.reset_ms, it.retry_after_ms) for it in counted.counts if it
    ]
