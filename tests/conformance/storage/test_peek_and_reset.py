"""Looking without counting, and forgetting: what both promise, whatever store counts."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.core.buckets import bucket_width_ms
from authz_service.core.meter import KEPT_MS, Metered
from authz_service.core.rules import Charge, Limit, Period
from authz_service.errors import StoreError
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, HOUR, MANY, MINUTE, SECOND, ask, quota, rate, told

BUCKETS = rate(9 * MANY, MINUTE, "many")
LIMITS: list[Limit] = [
    BUCKETS,
    rate(3, SECOND, "burst"),
    rate(9, MINUTE, "busy"),
    quota(11, Period.DAY, "Europe/Berlin", "day"),
]


async def look(bench: Bench, *limits: Limit, cost: int = 1, subject: str = "key:a") -> Metered:
    """Look at every limit as a charge of one cost would find it."""
    return await bench.stores[-1].peek(subject, tuple(Charge(limit, cost) for limit in limits))


async def test_a_peek_tells_what_is_there_before_any_charge(bench: Bench) -> None:
    """Full limits reset in no time; used ones tell what is left and when the oldest comes back."""
    limits = rate(5, MINUTE), quota(9), rate(5_000, MINUTE)
    assert told(await look(bench, *limits)) == (True, [(5, 0, 0), (9, 0, 0), (5_000, 0, 0)])
    await ask(bench, *limits, cost=2)
    bench.clock.advance(10 * SECOND)
    expected = [(3, 50 * SECOND, 0), (7, DAY - 10 * SECOND, 0), (4_998, 50 * SECOND, 0)]
    assert told(await look(bench, *limits)) == (True, expected)


async def test_a_peek_says_how_long_a_refused_request_would_wait(bench: Bench) -> None:
    """One limit without room refuses all, with the same figures as the charge itself."""
    limits = rate(1, MINUTE), quota(9)
    await ask(bench, *limits)
    bench.clock.advance(SECOND)
    seen = await look(bench, *limits)
    assert told(seen) == (False, [(0, MINUTE - SECOND, MINUTE - SECOND), (8, DAY - SECOND, 0)])
    assert seen == await ask(bench, *limits)


async def test_a_peek_changes_not_a_byte(bench: Bench) -> None:
    """Whether something is counted, has run out or is not there at all."""
    limits = rate(3, SECOND), quota(9), rate(5_000, SECOND)
    await look(bench, *limits)
    assert bench.contents() == {}
    await ask(bench, *limits, once="1")
    for pause in (0, SECOND, DAY - SECOND):
        bench.clock.advance(pause)
        before = bench.contents()
        for _ in range(5):
            await look(bench, *limits)
        assert bench.contents() == before


async def test_a_peek_follows_a_counter_from_the_future(bench: Bench) -> None:
    """A clock that was days ahead left a quota beyond the periods that are sent at first."""
    bench.clock.advance(10 * DAY)
    await ask(bench, quota(2))
    bench.clock.step_back(10 * DAY)
    assert told(await look(bench, quota(2))) == (True, [(1, 11 * DAY, 0)])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 400, SECOND, 20 * SECOND, HOUR, -1, KEPT_MS // -2]),
            st.lists(st.sampled_from(LIMITS), min_size=1, max_size=3, unique_by=id),
            st.integers(1, 3),
        ),
        max_size=30,
    )
)
async def test_a_peek_agrees_with_the_charge_that_follows(
    bench: Bench, steps: list[tuple[int, list[Limit], int]]
) -> None:
    """The same verdict and waits; what is left is the charge's own cost more."""
    for pause, limits, cost in steps:
        if pause >= 0:
            bench.clock.advance(pause)
        else:
            bench.clock.step_back(-pause)
        charges = tuple(Charge(it, cost * (MANY if it is BUCKETS else 1)) for it in limits)
        seen = await bench.stores[-1].peek("key:a", charges)
        charged = await bench.stores[0].charge("key:a", charges)
        assert seen.admitted == charged.admitted
        for before, after in zip(seen.readings, charged.readings, strict=True):
            assert before.charge == after.charge
            taken = before.charge.cost if charged.admitted else 0
            assert before.remaining - taken == after.remaining
            assert before.retry_after_ms == after.retry_after_ms
            if before.reset_ms:
                # A charge that joins the only bucket keeps it for up to its width longer.
                late = bucket_width_ms(BUCKETS) - 1 if before.charge.limit is BUCKETS else 0
                assert before.reset_ms <= after.reset_ms <= before.reset_ms + late


async def test_a_reset_frees_at_once(bench: Bench) -> None:
    """Used up a moment ago, the limits are full and count anew."""
    limits = rate(2, MINUTE), quota(2), rate(2_000, MINUTE)
    await ask(bench, *limits, cost=2)
    assert not (await ask(bench, *limits)).admitted
    await bench.stores[-1].reset("key:a", limits)
    assert told(await look(bench, *limits)) == (True, [(2, 0, 0), (2, 0, 0), (2_000, 0, 0)])
    expected = [(1, MINUTE, 0), (1, DAY, 0), (1_999, MINUTE, 0)]
    assert told(await ask(bench, *limits)) == (True, expected)


async def test_a_reset_touches_this_subject_and_these_limits_alone(bench: Bench) -> None:
    """Neither a neighbour's counters nor a limit of the same name and another kind."""
    minute, same_name = rate(5_000, MINUTE, "x"), rate(5, MINUTE, "x")
    other = quota(5, name="x")
    for subject in ("key:a", "key:ab", "key:a:rate:x"):
        await ask(bench, minute, same_name, other, subject=subject)
    await bench.stores[0].reset("key:a", (minute,))
    left = [
        (await look(bench, limit, subject=subject)).readings[0].remaining
        for subject in ("key:a", "key:ab", "key:a:rate:x")
        for limit in (minute, same_name, other)
    ]
    assert left == [5_000, 4, 4] + [4_999, 4, 4] * 2


async def test_a_reset_of_nothing_is_no_error(bench: Bench) -> None:
    """Counters that are not there, or that somebody has reset already."""
    for _ in range(2):
        await bench.stores[0].reset("key:a", (rate(5, MINUTE), quota(5)))
    assert bench.contents() == {}


async def test_counters_that_were_reset_run_out_like_any_other(bench: Bench) -> None:
    """Counted again after a reset, they expire when they have run out."""
    limits = rate(5, SECOND), quota(5), rate(5_000, MINUTE)
    for _ in range(3):
        await ask(bench, *limits)
        await bench.stores[0].reset("key:a", limits)
    await ask(bench, *limits)
    assert sorted(at for _, at in bench.contents().values()) == [
        bench.clock.now_ms() + SECOND + KEPT_MS,
        bench.clock.now_ms() + MINUTE + KEPT_MS,
        bench.clock.now_ms() + DAY + KEPT_MS,
    ]
    bench.clock.advance(DAY + KEPT_MS)
    expected = [(4, SECOND, 0), (4, DAY - KEPT_MS, 0), (4_999, MINUTE, 0)]
    assert told(await ask(bench, *limits)) == (True, expected)


async def test_a_closed_store_neither_looks_nor_forgets(bench: Bench) -> None:
    """After `close` both raise."""
    for store in bench.stores:
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.peek("key:a", (Charge(rate(1, MINUTE), 1),))
        with pytest.raises(StoreError, match="closed"):
            await store.reset("key:a", (rate(1, MINUTE),))
