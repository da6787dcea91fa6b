"""What a sliding window promises, whatever store counts it, and whether in a log or in buckets."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, HOUR, MANY, MINUTE, SECOND, ask, rate, told


@pytest.fixture(params=[1, MANY], ids=["log", "buckets"])
def each(request: pytest.FixtureRequest) -> int:
    """How many places a request takes: a limit of so few requests is counted one way or other."""
    places: int = request.param
    return places


async def test_a_window_admits_its_limit_and_then_denies(bench: Bench, each: int) -> None:
    """The sixth request in a window of five is denied."""
    answers = [(await ask(bench, rate(5 * each, MINUTE), cost=each)).admitted for _ in range(6)]
    assert answers == [True] * 5 + [False]


async def test_remaining_counts_down_and_reset_follows_the_oldest_admission(
    bench: Bench, each: int
) -> None:
    """Figures after each charge: what is left, when the oldest place comes back."""
    limit = rate(2 * each, 10 * SECOND)
    assert told(await ask(bench, limit, cost=each)) == (True, [(each, 10_000, 0)])
    bench.clock.advance(4_000)
    assert told(await ask(bench, limit, cost=each)) == (True, [(0, 6_000, 0)])
    bench.clock.advance(1_000)
    assert told(await ask(bench, limit, cost=each)) == (False, [(0, 5_000, 5_000)])


async def test_a_place_is_free_exactly_one_window_after_its_admission(
    bench: Bench, each: int
) -> None:
    """At t + window - 1 ms an admission still counts, at t + window it does not."""
    limit = rate(each, MINUTE)
    await ask(bench, limit, cost=each)
    bench.clock.advance(MINUTE - 1)
    assert told(await ask(bench, limit, cost=each)) == (False, [(0, 1, 1)])
    bench.clock.advance(1)
    assert told(await ask(bench, limit, cost=each)) == (True, [(0, MINUTE, 0)])


async def test_a_window_slides_and_never_admits_two_limits_around_a_boundary(
    bench: Bench, each: int
) -> None:
    """A burst at the end of one minute leaves nothing for the start of the next."""
    limit = rate(10 * each, MINUTE)
    bench.clock.advance(59 * SECOND)
    assert all([(await ask(bench, limit, cost=each)).admitted for _ in range(10)])
    bench.clock.advance(2 * SECOND)
    assert not (await ask(bench, limit, cost=each)).admitted


async def test_a_cost_takes_that_many_places(bench: Bench, each: int) -> None:
    """Cost three of five leaves two; another three is denied, two pass."""
    limit = rate(5 * each, MINUTE)
    assert told(await ask(bench, limit, cost=3 * each)) == (True, [(2 * each, MINUTE, 0)])
    assert told(await ask(bench, limit, cost=3 * each)) == (False, [(2 * each, MINUTE, MINUTE)])
    assert told(await ask(bench, limit, cost=2 * each)) == (True, [(0, MINUTE, 0)])


async def test_a_denied_cost_waits_for_as_many_places_as_it_lacks(bench: Bench, each: int) -> None:
    """The wait ends when the last place it needs comes back, not the first."""
    limit = rate(3 * each, 10 * SECOND)
    for _ in range(3):
        await ask(bench, limit, cost=each)
        bench.clock.advance(1_000)
    assert told(await ask(bench, limit, cost=2 * each)) == (False, [(0, 7_000, 8_000)])
    bench.clock.advance(7_999)
    assert not (await ask(bench, limit, cost=2 * each)).admitted
    bench.clock.advance(1)
    assert told(await ask(bench, limit, cost=2 * each)) == (True, [(0, 1_000, 0)])


async def test_a_denied_request_changes_nothing(bench: Bench, each: int) -> None:
    """Not one byte of what is stored differs after a denial."""
    limit = rate(2 * each, MINUTE)
    await ask(bench, limit, cost=2 * each)
    before = bench.contents()
    bench.clock.advance(30 * SECOND)
    for _ in range(20):
        assert not (await ask(bench, limit, cost=each)).admitted
    assert bench.contents() == before


async def test_a_clock_that_steps_back_frees_nothing(bench: Bench, each: int) -> None:
    """Five seconds back, the window is as full as before and waits are told on the clock."""
    limit = rate(2 * each, 10 * SECOND)
    await ask(bench, limit, cost=2 * each)
    bench.clock.step_back(5_000)
    assert told(await ask(bench, limit, cost=each)) == (False, [(0, 15_000, 15_000)])
    bench.clock.advance(14_999)
    assert not (await ask(bench, limit, cost=each)).admitted
    bench.clock.advance(1)
    assert (await ask(bench, limit, cost=each)).admitted


async def test_a_clock_that_steps_back_does_not_bring_a_window_back_empty(
    bench: Bench, each: int
) -> None:
    """A counter that has just run out is still there when its window is looked at again."""
    limit = rate(2 * each, 10 * SECOND)
    await ask(bench, limit, cost=2 * each)
    bench.clock.advance(10 * SECOND)
    await ask(bench, limit, subject="key:somebody-else", cost=each)
    bench.clock.step_back(5_000)
    assert told(await ask(bench, limit, cost=each)) == (False, [(0, 5_000, 5_000)])


async def test_admissions_after_a_step_back_count_from_the_newest_one(
    bench: Bench, each: int
) -> None:
    """A counter's time stands still until the clock has caught up."""
    limit = rate(2 * each, 10 * SECOND)
    await ask(bench, limit, cost=each)
    bench.clock.step_back(5_000)
    assert told(await ask(bench, limit, cost=each)) == (True, [(0, 15_000, 0)])
    bench.clock.advance(5_000)
    assert told(await ask(bench, limit, cost=each)) == (False, [(0, 10_000, 10_000)])


async def test_a_log_stays_within_twice_its_limit(bench: Bench) -> None:
    """Dead admissions are cut off, whatever the pace."""
    limit = rate(20, SECOND)
    longest = 0
    for _ in range(400):
        await ask(bench, limit)
        bench.clock.advance(37)
        longest = max(longest, bench.log_entries())
    assert longest <= 2 * 20 + 16


async def test_a_counter_goes_away_when_its_last_admission_counts_no_more(
    bench: Bench, each: int
) -> None:
    """What a store keeps expires one window and a minute after the newest admission."""
    limit = rate(5 * each, MINUTE)
    await ask(bench, limit, cost=each)
    bench.clock.advance(20 * SECOND)
    await ask(bench, limit, cost=each)
    [(_, expires_ms)] = bench.contents().values()
    assert expires_ms == bench.clock.now_ms() + 2 * MINUTE


async def test_sixty_days_without_a_pause_count_right(bench: Bench) -> None:
    """A long window used all the time: the stored offsets outlive 49.7 days."""
    limit = rate(30, 31 * DAY)
    admitted: list[int] = []
    for _ in range(60 * 4):
        now = bench.clock.now_ms()
        live = [moment for moment in admitted if moment > now - 31 * DAY]
        answer = await ask(bench, limit)
        assert answer.admitted == (len(live) < 30), (now, live)
        if answer.admitted:
            admitted.append(now)
            assert answer.readings[0].remaining == 29 - len(live)
        else:
            assert answer.readings[0].retry_after_ms == live[0] + 31 * DAY - now
        bench.clock.advance(6 * HOUR)


async def test_a_slow_trickle_for_months_counts_right(bench: Bench) -> None:
    """A log that is never full and never cut for its length is renewed before 49.7 days."""
    limit = rate(1000, 31 * DAY)
    for step in range(120 * 2):
        answer = await ask(bench, limit)
        assert answer.readings[0].remaining == 1000 - min(step + 1, 62)
        bench.clock.advance(12 * HOUR)


async def test_a_lower_limit_counts_what_was_admitted_under_the_higher_one(
    bench: Bench, each: int
) -> None:
    """A changed policy forgets nothing: remaining is 0, never negative, and the wait is right."""
    await ask(bench, rate(5 * each, MINUTE), cost=5 * each)
    assert told(await ask(bench, rate(2 * each, MINUTE), cost=each)) == (
        False,
        [(0, MINUTE, MINUTE)],
    )
    assert told(await ask(bench, rate(6 * each, MINUTE), cost=each)) == (True, [(0, MINUTE, 0)])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    limit=st.integers(1, 6),
    pauses=st.lists(st.integers(0, 400), min_size=5, max_size=60),
    number=st.integers(0, 2**40),
)
async def test_no_trailing_window_ever_holds_more_than_the_limit(
    bench: Bench, each: int, limit: int, pauses: list[int], number: int
) -> None:
    """However requests arrive, the fullest window of any position stays within the limit."""
    admitted = []
    for pause in pauses:
        bench.clock.advance(pause)
        if (
            await ask(bench, rate(limit * each, SECOND), subject=f"key:{number}", cost=each)
        ).admitted:
            admitted.append(bench.clock.now_ms())
    fullest = max(sum(end - SECOND < moment <= end for moment in admitted) for end in admitted)
    assert fullest <= limit
    bench.clock.advance(SECOND)
