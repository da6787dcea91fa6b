"""Several counters of one request, each of a subject of its own, whatever store counts them."""

import asyncio
from struct import pack

import pytest

from authz_service.core.hits import MAX_COUNT, Fixed, Says
from authz_service.core.rules import Rate
from authz_service.errors import StoreError
from tests.conformance.storage.bench import START_MS, Bench, ServerBench, opened
from tests.conformance.storage.hits import count, figures, fixed, hit
from tests.conformance.storage.limits import DAY, MANY, MINUTE, SECOND, ask, rate, told
from tests.conformance.storage.server import Server

SUBJECTS = ["user:ada", "path:/images", "tenant:corp"]
LONG = 365 * DAY


@pytest.fixture(params=[1, MANY], ids=["log", "buckets"])
def each(request: pytest.FixtureRequest) -> int:
    """How many places a hit takes: a limit of so few is counted one way or the other."""
    places: int = request.param
    return places


async def test_each_hit_is_counted_at_its_own_subject(bench: Bench, each: int) -> None:
    """Three subjects with three limits, told in the order asked."""
    limits: list[Rate | Fixed] = [rate(5 * each, MINUTE), rate(2 * each, SECOND), fixed(9, MINUTE)]
    hits = [hit(it, subject=subject) for it, subject in zip(limits, SUBJECTS, strict=True)]
    await count(bench, *hits)
    bench.clock.advance(200)
    answer = await count(bench, *hits)
    assert figures(answer) == (
        False,
        [
            (False, 5 * each - 2, MINUTE - (200 if each == 1 else 0), 0),
            (False, 2 * each - 2, SECOND - 200, 0),
            (False, 7, MINUTE - 200, 0),
        ],
    )
    assert [(it.used_before, it.counted) for it in answer.counts if it] == [(1, True)] * 3


async def test_one_that_is_over_keeps_all_sliding_windows_from_being_charged(
    bench: Bench, each: int
) -> None:
    """Whatever the slots: the others are told as found, and nothing is left behind."""
    narrow = hit(rate(each, SECOND), each, subject=SUBJECTS[0])
    wide = [hit(rate(9 * each, MINUTE), each, subject=subject) for subject in SUBJECTS[1:]]
    await count(bench, narrow, *wide)
    before = bench.contents()
    for hits in ([narrow, *wide], [*wide, narrow]):
        over, told = figures(await count(bench, *hits))
        assert over
        assert sorted(told) == [(False, 8 * each, MINUTE, 0)] * 2 + [(True, 0, SECOND, SECOND)]
    assert bench.contents() == before


async def test_fixed_windows_count_what_is_refused_and_sliding_ones_do_not(bench: Bench) -> None:
    """Of one request that is over, the fixed window goes on counting."""
    hits = (
        hit(rate(1, MINUTE), subject=SUBJECTS[0]),
        hit(rate(9, MINUTE), subject=SUBJECTS[1]),
        hit(fixed(9, MINUTE), subject=SUBJECTS[2]),
    )
    answers = [await count(bench, *hits) for _ in range(4)]
    assert [answer.over for answer in answers] == [False, True, True, True]
    left = [[it.remaining for it in answer.counts if it] for answer in answers]
    assert left == [[0, 8, 8], [0, 8, 7], [0, 8, 6], [0, 8, 5]]
    counted = [[it.counted for it in answer.counts if it] for answer in answers]
    assert counted == [[True, True, True]] + [[False, False, True]] * 3


R, Q, S = Says.REFUSES, Says.QUOTA, Says.SHADOW


@pytest.mark.parametrize(
    ("modes", "full", "over"),
    [
        ((R, R, R), (False, False, True), True),
        ((S, S, S), (True, True, True), False),
        ((S, R, R), (True, False, False), False),
        ((Q, Q, Q), (True, True, False), False),
        ((Q, Q, Q), (True, True, True), True),
        ((Q, R, R), (True, False, False), True),
        ((Q, Q, R), (True, False, False), False),
        ((Q, Q, R), (False, False, True), True),
        ((Q, Q, S), (True, True, False), True),
        ((Q, S, S), (False, True, True), False),
        ((Q, S, R), (True, True, False), True),
    ],
)
@pytest.mark.parametrize("kind", [rate, fixed])
async def test_modes_decide_together_what_becomes_of_a_request(
    bench: Bench,
    kind: "type[Rate | Fixed]",
    modes: tuple[Says, ...],
    full: tuple[bool, ...],
    over: bool,  # noqa: FBT001 - the expectation
) -> None:
    """Any that refuses, or all in quota mode; those with room are charged unless it is over."""
    limits = [kind(2 if it else 9, MINUTE) for it in full]  # type: ignore[call-arg, arg-type]
    parts = list(zip(limits, modes, SUBJECTS, strict=True))
    for limit, _, subject in parts:
        await count(bench, hit(limit, 2, subject=subject))
    answer = await count(bench, *(hit(it, 1, says, subject=at) for it, says, at in parts))
    assert (answer.over, [it.over for it in answer.counts if it]) == (over, list(full))
    always = isinstance(limits[0], Fixed)
    expected = [always or not (over or it) for it in full]
    assert [it.counted for it in answer.counts if it] == expected
    after = [(await count(bench, hit(it, 0, subject=at))).counts[0] for it, _, at in parts]
    assert [it.used_before for it in after if it] == [2 + it for it in expected]


@pytest.mark.parametrize("says", Says)
async def test_a_look_writes_nothing_and_is_over_only_beyond_the_limit(
    bench: Bench, says: Says
) -> None:
    """A cost of 0 at a full counter is not over; where a lower limit holds now, it is."""
    for limit, lower in ((rate(3, MINUTE), rate(2, MINUTE)), (fixed(3, MINUTE), fixed(2, MINUTE))):
        empty = figures(await count(bench, hit(limit, 0, says)))[1]
        assert empty == [(False, 3, 0 if isinstance(limit, Rate) else MINUTE, 0)]
        assert len(bench.contents()) == isinstance(limit, Fixed)
        await count(bench, hit(limit, 3))
        before = bench.contents()
        assert figures(await count(bench, hit(limit, 0, says)))[1] == [(False, 0, MINUTE, 0)]
        assert figures(await count(bench, hit(lower, 0, says)))[1] == [(True, 0, MINUTE, MINUTE)]
        assert bench.contents() == before


async def test_a_limit_of_nothing_refuses_everybody(bench: Bench) -> None:
    """A ban, whichever way it is counted, and no wait helps."""
    for limit, reset in ((rate(0, MINUTE), 0), (fixed(0, MINUTE), MINUTE)):
        for _ in range(2):
            assert figures(await count(bench, hit(limit))) == (True, [(True, 0, reset, 0)])


async def test_more_than_a_whole_limit_never_passes_and_is_told_no_wait(bench: Bench) -> None:
    """Also if it is more than any number that a server holds."""
    for cost in (4, MAX_COUNT, 2**64 - 1):
        answer = await count(bench, hit(rate(3, MINUTE), cost))
        assert figures(answer) == (True, [(True, 3, 0, 0)])
    answer = await count(bench, hit(fixed(3, MINUTE), 2**64 - 1), hit(fixed(3, MINUTE), 7))
    assert figures(answer) == (True, [(True, 0, MINUTE, 0)] * 2)
    assert [it.used_before for it in answer.counts if it] == [0, MAX_COUNT]


async def test_a_counter_that_stands_there_twice_counts_what_came_before(
    bench: Bench, each: int
) -> None:
    """Two of three places pass together, the third and fourth do not."""
    twice = hit(rate(3 * each, MINUTE), each)
    answer = await count(bench, twice, twice)
    assert figures(answer)[1] == [(False, 2 * each, MINUTE, 0), (False, each, MINUTE, 0)]
    assert [it.used_before for it in answer.counts if it] == [0, each]
    answer = await count(bench, twice, twice)
    assert figures(answer) == (
        True,
        [(False, each, MINUTE, 0), (True, each, MINUTE, MINUTE)],
    )
    shadow = hit(rate(3 * each, MINUTE), each, S)
    answer = await count(bench, shadow, shadow)
    assert figures(answer) == (False, [(False, 0, MINUTE, 0), (True, 0, MINUTE, MINUTE)])


async def test_a_fixed_window_that_stands_there_twice_counts_twice(bench: Bench) -> None:
    """Each of the two sees the one before, and both count although the second is over."""
    twice = hit(fixed(1, MINUTE))
    answer = await count(bench, twice, twice)
    assert figures(answer) == (True, [(False, 0, MINUTE, 0), (True, 0, MINUTE, MINUTE)])
    assert [it.used_before for it in answer.counts if it] == [0, 1]


async def test_places_held_elsewhere_are_missing_here(bench: Bench) -> None:
    """Two of five are held: three pass."""
    for limit in (rate(5, MINUTE), rate(5 * MANY, MINUTE), fixed(5, MINUTE)):
        cost = limit.limit // 5
        hits = [hit(limit, cost, held=2 * cost)] * 4
        answers = [(await count(bench, it)) for it in hits]
        assert [answer.over for answer in answers] == [False, False, False, True]
        assert [it.remaining for answer in answers for it in answer.counts if it] == [
            *(2 * cost, cost, 0, 0)
        ]


async def test_a_fixed_window_counts_as_it_always_did(bench: Bench) -> None:
    """Ten a minute, worked out by hand: what was there, what is left, when the window ends."""
    ten = fixed(10, MINUTE)
    worked = [
        # after ms, cost, used before, over, remaining, reset
        (0, 1, 0, False, 9, 60_000),
        (1, 0, 1, False, 9, 59_999),
        (999, 8, 1, False, 1, 59_000),
        (0, 2, 9, True, 0, 59_000),  # one place was left; what is refused counts
        (0, 0, 11, True, 0, 59_000),
        (0, 1, 11, True, 0, 59_000),
        (58_999, 1, 12, True, 0, 1),
        (1, 10, 0, False, 0, 60_000),  # a new minute, and all of it at once
        (0, 0, 10, False, 0, 60_000),
        (0, 1, 10, True, 0, 60_000),
        (61_500, 11, 0, True, 0, 58_500),  # more than the limit at an empty counter
        (0, 0, 11, True, 0, 58_500),
        (600_000, 0, 0, False, 10, 58_500),
    ]
    for pause, cost, used, over, remaining, reset in worked:
        bench.clock.advance(pause)
        [it] = (await count(bench, hit(ten, cost))).counts
        assert it is not None
        assert (it.used_before, it.over, it.remaining, it.reset_ms) == (
            *(used, over, remaining, reset),
        )
        assert it.retry_after_ms == (reset if over and cost <= 10 else 0)


async def test_fixed_windows_begin_with_the_epoch(bench: Bench) -> None:
    """A day at midnight UTC, a week on a Thursday, 30 days and 365 wherever they fall."""
    bench.clock.advance(90_061_234)  # 5 June 2030, 01:01:01.234, a Wednesday
    resets = {
        SECOND: 766,
        MINUTE: 58_766,
        DAY: 82_738_766,
        7 * DAY: 82_738_766,  # Thursday is the next day
        30 * DAY: 30 * DAY - (START_MS + 90_061_234) % (30 * DAY),
        LONG: LONG - (START_MS + 90_061_234) % LONG,
    }
    for window, reset in resets.items():
        answer = await count(bench, hit(fixed(3, window, str(window))))
        assert figures(answer) == (False, [(False, 2, reset, 0)])


async def test_a_fixed_window_stays_when_the_clock_steps_back_over_its_start(bench: Bench) -> None:
    """The later window stays in force; nothing is forgotten and waits are told on the clock."""
    two = hit(fixed(2, MINUTE))
    await count(bench, two)
    bench.clock.step_back(10_000)
    assert figures(await count(bench, two))[1] == [(False, 0, 70_000, 0)]
    assert figures(await count(bench, two))[1] == [(True, 0, 70_000, 70_000)]
    bench.clock.advance(70_000)
    assert figures(await count(bench, two))[1] == [(False, 1, MINUTE, 0)]


async def test_a_fixed_window_is_kept_a_minute_longer_than_it_lasts(bench: Bench) -> None:
    """So that a clock that is set back by less finds it again."""
    bench.clock.advance(20_000)
    await count(bench, hit(fixed(2, MINUTE)))
    [(_, expires_ms)] = bench.contents().values()
    assert expires_ms == START_MS + 2 * MINUTE


async def test_a_fixed_window_that_is_made_longer_forgets_nothing(bench: Bench) -> None:
    """What was counted in the shorter one is counted on."""
    bench.clock.advance(SECOND)
    await count(bench, hit(fixed(9, SECOND), 2))
    for used in (2, 3):
        [it] = (await count(bench, hit(fixed(9, 3 * SECOND)))).counts
        assert it is not None
        assert (it.used_before, it.reset_ms) == (used, 2 * SECOND)


async def test_a_year_is_counted_in_buckets_and_does_not_forget(bench: Bench) -> None:
    """A log would know the moments of 49 days only."""
    three = hit(rate(3, LONG))
    for _ in range(3):
        assert not (await count(bench, three)).over
        bench.clock.advance(100 * DAY)
    assert figures(await count(bench, three)) == (True, [(True, 0, 65 * DAY, 65 * DAY)])
    bench.clock.advance(65 * DAY)
    assert not (await count(bench, three)).over
    bench.clock.advance(35 * DAY)
    assert figures(await count(bench, three)) == (True, [(True, 0, 65 * DAY, 65 * DAY)])


async def test_hits_and_charges_of_one_subject_and_limit_share_a_counter(
    bench: Bench, each: int
) -> None:
    """They are the same windows."""
    limit = rate(3 * each, MINUTE)
    await ask(bench, limit, cost=each)
    await count(bench, hit(limit, each))
    assert told(await ask(bench, limit, cost=2 * each)) == (False, [(each, MINUTE, MINUTE)])


@pytest.mark.parametrize("kind", ["log", "buckets", "fixed"])
async def test_a_hundred_requests_at_once_pass_as_often_as_the_limit_says(
    bench: Bench, kind: str
) -> None:
    """Over all connections: exactly seven, and the counters hold those alone."""
    each = MANY if kind == "buckets" else 1
    limit = fixed(7, MINUTE) if kind == "fixed" else rate(7 * each, MINUTE)
    full = hit(limit, each, subject=SUBJECTS[0])
    beside = hit(rate(500, MINUTE, "beside"), subject=SUBJECTS[0])
    stores = bench.stores
    requests = (stores[n % len(stores)].hit((beside, full)) for n in range(100))
    answers = await asyncio.gather(*requests)
    assert sum(not answer.over for answer in answers) == 7
    [left] = (await count(bench, hit(beside.limit, 0, subject=SUBJECTS[0]))).counts
    assert left is not None
    assert left.used_before == 7


async def test_fixed_windows_are_stored_as_the_start_and_a_count(server: Server) -> None:
    """Other bytes need another version of names."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        bench.clock.advance(90_000)
        await count(bench, hit(fixed(9, MINUTE), 2), hit(fixed(9, MINUTE), 3))
        key = str(b"authz:{1:key:a}:fixed:fixed")
        stored = (pack("<QQ", START_MS + MINUTE, 5), START_MS + 3 * MINUTE)
        assert bench.contents() == {key: stored}


async def test_a_closed_store_counts_nothing(bench: Bench) -> None:
    """It raises."""
    for store in bench.stores:
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await count(store, hit(rate(1, MINUTE)))
