"""What is peculiar to counting in memory: its bound and how it forgets."""

import pytest

from authz_service.core.meter import KEPT_MS
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.errors import StoreError
from authz_service.storage.memory import MemoryStore
from authz_service.testing.clock import ManualClock

SECOND = (Charge(Rate(name="second", limit=5, window_ms=1_000), 1),)
MANY = (Charge(Rate(name="many", limit=5_000, window_ms=1_000), 1),)
DAY = (Charge(Quota(name="day", limit=5, period=Period.DAY, zone="UTC"), 1),)


async def test_a_full_store_refuses_a_new_counter_rather_than_forget_a_live_one() -> None:
    """Known subjects go on counting; a new one is told that the store cannot count it."""
    store = MemoryStore(ManualClock(), max_counters=2)
    await store.charge("a", SECOND)
    await store.charge("b", SECOND)
    with pytest.raises(StoreError, match="all 2 counters"):
        await store.charge("c", SECOND)
    assert (await store.charge("a", SECOND)).readings[0].remaining == 3


async def test_a_request_that_does_not_fit_whole_changes_nothing() -> None:
    """With room for one of two new counters, neither is made."""
    store = MemoryStore(ManualClock(), max_counters=2)
    await store.charge("a", SECOND)
    with pytest.raises(StoreError):
        await store.charge("b", SECOND + DAY)
    assert (await store.charge("b", SECOND)).readings[0].remaining == 4


async def test_a_counter_that_ran_out_makes_room() -> None:
    """A window and a minute after the last admission its place is free."""
    clock = ManualClock()
    store = MemoryStore(clock, max_counters=1)
    await store.charge("a", SECOND)
    clock.advance(1_000 + KEPT_MS - 1)
    with pytest.raises(StoreError):
        await store.charge("b", SECOND)
    clock.advance(1)
    assert (await store.charge("b", SECOND)).admitted


async def test_memory_follows_the_active_subjects_not_all_ever_seen() -> None:
    """Ten thousand subjects pass by, 100 a second: what is kept is the last minute's."""
    clock = ManualClock()
    store = MemoryStore(clock)
    for number in range(10_000):
        await store.charge(f"anon:{number}", SECOND + MANY)
        clock.advance(10)
    kept = (KEPT_MS + 1_000) // 10
    assert len(store._expires_ms) <= 2 * (kept + 2)
    assert len(store._sweep_order) == len(store._expires_ms)
    assert len(store._logs) == len(store._buckets) == len(store._expires_ms) // 2


async def test_a_counter_in_use_outlives_its_first_expiry() -> None:
    """The sweep meets a prolonged counter and leaves it alone, however often."""
    clock = ManualClock()
    store = MemoryStore(clock)
    await store.charge("a", DAY)
    for _ in range(200):
        await store.charge("b", SECOND)
        clock.advance(999)
    assert (await store.charge("b", SECOND)).readings[0].remaining == 3
    assert (await store.charge("a", DAY)).readings[0].remaining == 3
    clock.advance(2 * KEPT_MS)
    await store.charge("c", SECOND)
    assert len(store._expires_ms) == 2, "the prolonged counter is forgotten in the end"
