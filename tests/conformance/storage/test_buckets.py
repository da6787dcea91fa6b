"""What is peculiar to a sliding window of more than 1,000 admissions, whatever store counts it."""

from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, HOUR, MINUTE, SECOND, ask, rate, told

LIMIT = rate(6_000, MINUTE)
"""Its buckets are the seconds of the clock."""


def places(bench: Bench) -> int:
    """Return how many buckets the one counter has, dead ones with the living."""
    [(kept, _)] = bench.contents().values()
    return len(kept) // 12 if isinstance(kept, bytes) else len(getattr(kept, "counts", ()))


async def test_admissions_of_one_bucket_count_until_the_last_of_them_leaves(bench: Bench) -> None:
    """Those of 0.2 and 0.9 seconds count to 60.9; that of 1.0 has a bucket of its own."""
    bench.clock.advance(200)
    await ask(bench, LIMIT, cost=3_000)
    bench.clock.advance(700)
    assert told(await ask(bench, LIMIT, cost=2_000)) == (True, [(1_000, MINUTE, 0)])
    bench.clock.advance(100)
    assert told(await ask(bench, LIMIT, cost=1_000)) == (True, [(0, MINUTE - 100, 0)])
    bench.clock.advance(MINUTE - 101)
    assert told(await ask(bench, LIMIT)) == (False, [(0, 1, 1)])
    bench.clock.advance(1)
    assert told(await ask(bench, LIMIT, cost=5_000)) == (True, [(0, 100, 0)])


async def test_buckets_are_counted_from_the_epoch_not_from_the_first_admission(
    bench: Bench,
) -> None:
    """Half a second apart and in two seconds of the clock, two admissions leave one by one."""
    bench.clock.advance(900)
    await ask(bench, LIMIT, cost=6_000 - 1)
    bench.clock.advance(500)
    await ask(bench, LIMIT)
    bench.clock.advance(MINUTE - 500)
    assert told(await ask(bench, LIMIT, cost=6_000 - 1)) == (True, [(0, 500, 0)])


async def test_a_bucket_is_a_sixtieth_of_the_window_in_whole_milliseconds_rounded_up(
    bench: Bench,
) -> None:
    """Of a second it is 17 ms: two admissions 16 ms apart leave together, one more 1 ms later."""
    limit = rate(6_000, SECOND)
    bench.clock.advance(-bench.clock.now_ms() % 17)
    await ask(bench, limit, cost=1_000)
    bench.clock.advance(16)
    assert told(await ask(bench, limit, cost=1_000)) == (True, [(4_000, SECOND, 0)])
    bench.clock.advance(1)
    assert told(await ask(bench, limit, cost=1_000)) == (True, [(3_000, SECOND - 1, 0)])
    assert told(await ask(bench, limit, cost=5_001)) == (False, [(3_000, SECOND - 1, SECOND)])


async def test_a_wait_is_for_as_many_buckets_as_it_takes(bench: Bench) -> None:
    """Each second 100 places: 250 more need the three oldest seconds."""
    for _ in range(60):
        await ask(bench, LIMIT, cost=100)
        bench.clock.advance(SECOND)
    await ask(bench, LIMIT, cost=100)
    bench.clock.advance(300)
    assert told(await ask(bench, LIMIT, cost=250)) == (False, [(0, 700, 2_700)])
    bench.clock.advance(2_699)
    assert told(await ask(bench, LIMIT, cost=250)) == (False, [(200, 1, 1)])
    bench.clock.advance(1)
    assert told(await ask(bench, LIMIT, cost=250)) == (True, [(50, SECOND, 0)])


async def test_a_counter_has_one_bucket_more_than_its_window_at_most(bench: Bench) -> None:
    """However many are admitted and however long, what is dead goes with the next admission."""
    most = 0
    for _ in range(1_500):
        assert (await ask(bench, LIMIT, cost=7)).admitted
        most = max(most, places(bench))
        bench.clock.advance(95)
    assert most == 61
    bench.clock.advance(MINUTE)
    await ask(bench, LIMIT)
    assert places(bench) == 1


async def test_the_largest_rate_counts_every_admission(bench: Bench) -> None:
    """A thousand million in 31 days: one more is denied, and waits for the oldest bucket."""
    largest = rate(1_000_000_000, 31 * DAY)
    await ask(bench, largest, cost=1)
    bench.clock.advance(20 * HOUR)
    assert told(await ask(bench, largest, cost=999_999_998))[1][0][0] == 1
    bench.clock.advance(20 * HOUR)
    assert told(await ask(bench, largest))[1][0][0] == 0
    wait = 31 * DAY - 40 * HOUR
    assert told(await ask(bench, largest)) == (False, [(0, wait, wait)])


async def test_across_a_thousand_a_rate_starts_a_new_counter(bench: Bench) -> None:
    """A log of 1,000 and buckets of 1,001 under one name know nothing of each other."""
    log, buckets = rate(1_000, MINUTE), rate(1_001, MINUTE)
    assert told(await ask(bench, log, cost=1_000)) == (True, [(0, MINUTE, 0)])
    assert told(await ask(bench, buckets)) == (True, [(1_000, MINUTE, 0)])
    assert not (await ask(bench, log)).admitted
    await bench.stores[0].reset("key:a", (buckets,))
    assert not (await ask(bench, log)).admitted
    assert told(await ask(bench, buckets)) == (True, [(1_000, MINUTE, 0)])


async def test_a_window_of_another_length_counts_the_buckets_that_are_there(bench: Bench) -> None:
    """A policy that makes a window ten times longer forgets nothing."""
    short, long = rate(6_000, MINUTE), rate(6_000, 10 * MINUTE)
    for _ in range(60):
        await ask(bench, short, cost=50)
        bench.clock.advance(SECOND)
    assert told(await ask(bench, long, cost=3_000)) == (True, [(0, 9 * MINUTE, 0)])
    assert told(await ask(bench, long)) == (False, [(0, 9 * MINUTE, 9 * MINUTE)])
