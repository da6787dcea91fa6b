"""Places of a limit that another counter holds are missing in this one, whatever store counts."""

import pytest

from authz_service.core.meter import LEAST_WAIT_MS, Metered
from authz_service.core.rules import Charge, Limit
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, MANY, MINUTE, SECOND, quota, rate, told

KINDS = [
    pytest.param(rate(10, MINUTE), 1, MINUTE, id="log"),
    pytest.param(rate(10 * MANY, MINUTE), MANY, MINUTE, id="buckets"),
    pytest.param(quota(10), 1, DAY, id="quota"),
]


async def charge(bench: Bench, limit: Limit, cost: int, held: int) -> Metered:
    """Charge one limit while `held` places of it are held elsewhere."""
    return await bench.stores[0].charge("key:a", (Charge(limit, cost, held=held),))


@pytest.mark.parametrize(("limit", "each", "whole_ms"), KINDS)
async def test_places_held_elsewhere_are_admitted_here_no_more(
    bench: Bench, limit: Limit, each: int, whole_ms: int
) -> None:
    """Six of ten are held: four pass, the fifth waits until one of these four is free."""
    left = []
    for _ in range(4):
        answer = await charge(bench, limit, each, 6 * each)
        assert answer.admitted
        left.append(answer.readings[0].remaining // each)
    assert left == [3, 2, 1, 0]
    wait = whole_ms - SECOND
    bench.clock.advance(SECOND)
    assert told(await charge(bench, limit, each, 6 * each)) == (False, [(0, wait, wait)])
    bench.clock.advance(wait - 1)
    assert told(await charge(bench, limit, each, 6 * each)) == (False, [(0, 1, 1)])
    bench.clock.advance(1)
    assert told(await charge(bench, limit, each, 6 * each)) == (True, [(3 * each, whole_ms, 0)])


@pytest.mark.parametrize(("limit", "each", "whole_ms"), KINDS)
async def test_places_that_are_let_go_are_there_at_once(
    bench: Bench, limit: Limit, each: int, whole_ms: int
) -> None:
    """The other counter's share is a matter of the moment, and nothing of it is stored."""
    assert not (await charge(bench, limit, 5 * each, 6 * each)).admitted
    assert told(await charge(bench, limit, 5 * each, 5 * each)) == (True, [(0, whole_ms, 0)])
    assert told(await charge(bench, limit, 5 * each, 0)) == (True, [(0, whole_ms, 0)])


@pytest.mark.parametrize("held", [10, 11, 25])
@pytest.mark.parametrize(("limit", "each", "whole_ms"), KINDS)
async def test_without_any_room_a_rate_waits_until_its_counter_is_empty(
    bench: Bench, limit: Limit, each: int, whole_ms: int, held: int
) -> None:
    """Then for a millisecond at a time, and a quota until its period ends; nothing is charged."""
    await charge(bench, limit, each, 0)
    bench.clock.advance(2 * SECOND)
    await charge(bench, limit, 2 * each, 0)
    before = bench.contents()
    first, last = whole_ms - 2 * SECOND, whole_ms
    if whole_ms == DAY:
        last = first
    assert told(await charge(bench, limit, each, held * each)) == (False, [(0, first, last)])
    assert bench.contents() == before
    bench.clock.advance(last)
    wait = DAY if whole_ms == DAY else LEAST_WAIT_MS
    assert told(await charge(bench, limit, each, held * each)) == (False, [(0, 0, wait)])


@pytest.mark.parametrize(("limit", "each", "whole_ms"), KINDS)
async def test_an_unused_counter_has_no_more_than_others_leave_it(
    bench: Bench, limit: Limit, each: int, whole_ms: int
) -> None:
    """Looked at for the first time: what is left, and the wait where that is nothing."""
    few, none = (Charge(limit, each, held=held * each) for held in (7, 12))
    assert told(await bench.stores[0].peek("key:a", (few,))) == (True, [(3 * each, 0, 0)])
    wait = DAY if whole_ms == DAY else LEAST_WAIT_MS
    assert told(await bench.stores[0].peek("key:a", (none,))) == (False, [(0, 0, wait)])


async def test_how_a_rate_is_counted_does_not_depend_on_what_is_held(bench: Bench) -> None:
    """Of 1,500 places 1,400 are held: the 100 that are left are counted in the same buckets."""
    limit = rate(1_500, MINUTE)
    assert told(await charge(bench, limit, 100, 1_400)) == (True, [(0, MINUTE, 0)])
    assert told(await charge(bench, limit, 1, 0)) == (True, [(1_399, MINUTE, 0)])
