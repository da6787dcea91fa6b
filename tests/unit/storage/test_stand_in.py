"""This process's own counters: where they begin, what they tell, how they are handed back."""

from dataclasses import replace

import pytest

from authz_service.core.hits import Hit
from authz_service.core.meter import Metered, Reading, Scope
from authz_service.core.rules import Charge, Limit, Period, Quota, Rate
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.clock import ManualClock

WINDOW = 60_000
TEN = Rate(name="r", limit=10, window_ms=WINDOW)
DAY = Quota(name="q", limit=10, period=Period.DAY, zone="UTC")


def said(limit: Limit, remaining: int, *, reset_ms: int = 30_000) -> Metered:
    """What the shared store answered to an admission."""
    return Metered(admitted=True, readings=(Reading(Charge(limit, 1), remaining, reset_ms, 0),))


async def ask(stand_in: StandIn, limit: Limit, cost: int = 1) -> Metered:
    """One charge for one subject."""
    return await stand_in.charge("key:a", (Charge(limit, cost),), once=None)


async def left(stand_in: StandIn, limit: Limit) -> int:
    """What remains after one charge."""
    return (await ask(stand_in, limit)).readings[0].remaining


async def test_a_subject_never_heard_of_begins_with_the_whole_limit() -> None:
    """And the answer says that it counts here alone."""
    metered = await ask(StandIn(ManualClock()), TEN)
    assert metered.scope is Scope.LOCAL
    assert metered.readings == (Reading(Charge(TEN, 1), 9, WINDOW, 0),)


@pytest.mark.parametrize("limit", [TEN, DAY])
async def test_a_subject_goes_on_with_what_the_store_last_said_was_left(limit: Limit) -> None:
    """Four were left: three more after this one."""
    stand_in = StandIn(ManualClock())
    stand_in.heard("key:a", said(limit, remaining=4))
    assert await left(stand_in, limit) == 3
    assert await left(stand_in, TEN if limit is DAY else DAY) == 9


@pytest.mark.parametrize("other", [DAY, Rate(name="r", limit=5_000, window_ms=WINDOW)])
async def test_what_was_heard_of_one_counter_is_not_forgotten_for_another_of_its_name(
    other: Limit,
) -> None:
    """A rate and a quota, or rates on both sides of 1,000, may share a name, never a counter."""
    stand_in = StandIn(ManualClock())
    other = replace(other, name="r")
    stand_in.heard("key:a", said(TEN, remaining=4))
    stand_in.heard("key:a", said(other, remaining=other.limit - 2))
    assert await left(stand_in, TEN) == 3
    assert await left(stand_in, other) == other.limit - 3


async def test_what_was_heard_of_a_rate_counts_for_a_window() -> None:
    """The newest of what the store had counted may have been as young as the answer."""
    clock = ManualClock()
    stand_in = StandIn(clock)
    stand_in.heard("key:a", said(TEN, remaining=0, reset_ms=1))
    clock.advance(WINDOW - 1)
    [denied] = (await ask(stand_in, TEN)).readings
    assert (denied.remaining, denied.reset_ms, denied.retry_after_ms) == (0, 1, 1)
    clock.advance(1)
    assert await left(stand_in, TEN) == 9


async def test_what_was_heard_of_a_quota_counts_until_its_period_ends() -> None:
    """The reset of a quota is that end."""
    clock = ManualClock()
    stand_in = StandIn(clock)
    stand_in.heard("key:a", said(DAY, remaining=2, reset_ms=5_000))
    clock.advance(4_999)
    assert await left(stand_in, DAY) == 1
    clock.advance(1)
    assert await left(stand_in, DAY) == 8


async def test_a_wait_ends_when_what_is_counted_here_or_there_comes_free() -> None:
    """Seven there and three here: the three leave last, but one is enough."""
    clock = ManualClock()
    stand_in = StandIn(clock)
    stand_in.heard("key:a", said(TEN, remaining=3))
    clock.advance(WINDOW - 10_000)
    for _ in range(3):
        assert (await ask(stand_in, TEN)).admitted
    assert (await ask(stand_in, TEN)).readings[0].retry_after_ms == 10_000
    assert (await ask(stand_in, TEN, cost=8)).readings[0].retry_after_ms == WINDOW
    clock.advance(10_000)
    assert (await ask(stand_in, TEN)).admitted


async def test_processes_that_share_a_limit_have_a_part_of_it_each() -> None:
    """Four of ten make two; what is told is the limit as it stands in the policy."""
    stand_in = StandIn(ManualClock(), sharing=4)
    answers = [await ask(stand_in, TEN) for _ in range(3)]
    assert [answer.admitted for answer in answers] == [True, True, False]
    assert answers[0].readings[0].charge == Charge(TEN, 1)


async def test_a_part_of_a_limit_is_one_at_least_and_a_charge_no_more_than_the_part() -> None:
    """Nobody is shut out because there are many processes."""
    stand_in = StandIn(ManualClock(), sharing=100)
    assert (await ask(stand_in, TEN, cost=5)).admitted
    assert not (await ask(stand_in, TEN)).admitted


async def test_of_a_part_as_much_is_taken_as_of_the_whole() -> None:
    """Five of ten are left, so two of four... and of five, half, rounded down."""
    stand_in = StandIn(ManualClock(), sharing=2)
    stand_in.heard("key:a", said(TEN, remaining=5))
    assert [(await ask(stand_in, TEN)).admitted for _ in range(3)] == [True, True, False]


async def test_what_was_counted_here_is_held_in_the_shared_store() -> None:
    """Until it leaves the window; of a subject that was not counted here nothing is."""
    clock = ManualClock()
    stand_in = StandIn(clock)
    charges = (Charge(TEN, 1), Charge(DAY, 1))
    assert await stand_in.held("key:a", charges) is charges
    await ask(stand_in, TEN, cost=3)
    assert [charge.held for charge in await stand_in.held("key:a", charges)] == [3, 0]
    assert await stand_in.held("key:b", charges) is charges
    clock.advance(WINDOW)
    assert await stand_in.held("key:a", charges) is charges


async def test_descriptors_cannot_use_up_the_counters_of_callers() -> None:
    """What they are counted by comes from requests; callers are counted in a memory apart."""
    clock = ManualClock()
    stand_in = StandIn(clock, counters=MemoryStore(clock, max_counters=1))
    for number in range(3):
        hit = Hit(f"descriptor:{number}", Rate(name="60s", limit=5, window_ms=60_000))
        assert not (await stand_in.hits.hit((hit,))).over
    assert await left(stand_in, TEN) == 9


async def test_a_wait_for_places_held_here_is_long_enough() -> None:
    """All ten are held: that the shared counter is empty admits nobody."""
    clock = ManualClock()
    stand_in = StandIn(clock)
    await ask(stand_in, TEN, cost=10)
    clock.advance(15_000)
    [charge] = await stand_in.held("key:a", (Charge(TEN, 1),))
    denied = Metered(admitted=False, readings=(Reading(charge, 0, 0, 1),))
    [reading] = (await stand_in.denied("key:a", denied)).readings
    assert (reading.reset_ms, reading.retry_after_ms) == (WINDOW - 15_000, WINDOW - 15_000)
