"""Windows counted in buckets, under any arrivals: never too many, early by a sixtieth at most."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.buckets import Buckets, bucket_width_ms, read_buckets, take_buckets
from authz_service.core.meter import LEAST_WAIT_MS
from authz_service.core.rules import Charge, Rate

WINDOW = 1_000
WIDTH = 17
LIMIT = 1_100
START = 10_000_000
COSTS = st.integers(50, LIMIT // 2)
PAUSES = st.one_of(
    st.integers(0, 40), st.integers(0, 300), st.sampled_from([WIDTH - 1, WIDTH, WINDOW - 1, WINDOW])
)
STEPS_BACK = st.integers(-2 * WINDOW, -1)
RATE = Rate(name="r", limit=LIMIT, window_ms=WINDOW)


def used(admitted: list[tuple[int, int]], now: int, window: int) -> int:
    """Sum what was admitted in (now - window, now]."""
    return sum(units for moment, units in admitted if now - window < moment <= now)


@given(arrivals=st.lists(st.tuples(PAUSES, COSTS), max_size=120))
def test_a_window_admits_no_more_than_its_limit_and_hardly_less(
    arrivals: list[tuple[int, int]],
) -> None:
    """Against the plainest definition, over the window itself and over one longer by a bucket."""
    buckets = Buckets()
    admitted: list[tuple[int, int]] = []
    now = START
    for pause, cost in arrivals:
        now += pause
        charge = Charge(RATE, cost)
        reading = read_buckets(charge, RATE, buckets, now)
        at_least, at_most = used(admitted, now, WINDOW), used(admitted, now, WINDOW + WIDTH)
        assert LIMIT - at_most <= reading.remaining <= LIMIT - at_least
        assert (reading.retry_after_ms == 0) is (cost <= reading.remaining)
        if reading.retry_after_ms == 0:
            admitted.append((now, cost))
            taken = take_buckets(charge, RATE, buckets, now)
            buckets = taken.counter
            assert taken.reading.remaining == reading.remaining - cost
            assert sum(buckets.counts) == LIMIT - taken.reading.remaining
            assert len(buckets.counts) == len(buckets.lasts_ms) <= 61


@given(
    arrivals=st.lists(st.tuples(st.one_of(PAUSES, PAUSES, STEPS_BACK), COSTS), max_size=120),
    held=st.one_of(st.just(0), st.integers(0, LIMIT - LIMIT // 2)),
)
def test_a_wait_is_right_to_the_millisecond(arrivals: list[tuple[int, int]], held: int) -> None:
    """A millisecond before the wait is over it still denies, then it admits, however time moved."""
    buckets = Buckets()
    now = START
    for pause, cost in arrivals:
        now += pause
        charge = Charge(RATE, cost, held=held)
        wait = read_buckets(charge, RATE, buckets, now).retry_after_ms
        if wait == 0:
            buckets = take_buckets(charge, RATE, buckets, now).counter
            continue
        assert read_buckets(charge, RATE, buckets, now + wait - 1).retry_after_ms == 1
        assert read_buckets(charge, RATE, buckets, now + wait).retry_after_ms == 0


@given(arrivals=st.lists(st.tuples(st.one_of(PAUSES, STEPS_BACK), COSTS), max_size=120))
def test_a_reset_is_when_the_next_place_comes_back(arrivals: list[tuple[int, int]]) -> None:
    """Until a millisecond before it what is left stays the same, then it is more."""
    buckets = Buckets()
    now = START
    for pause, cost in arrivals:
        now += pause
        charge = Charge(RATE, cost)
        before = read_buckets(charge, RATE, buckets, now)
        if before.reset_ms:
            shortly = read_buckets(charge, RATE, buckets, now + before.reset_ms - 1)
            assert (shortly.remaining, shortly.reset_ms) == (before.remaining, 1)
            then = read_buckets(charge, RATE, buckets, now + before.reset_ms)
            assert then.remaining > before.remaining
        if before.retry_after_ms == 0:
            buckets = take_buckets(charge, RATE, buckets, now).counter


@given(
    now=st.integers(START, START + 2 * WINDOW),
    counts=st.lists(st.integers(1, 200), max_size=8),
    cost=st.integers(1, LIMIT),
    held=st.integers(0, 3 * LIMIT),
)
def test_a_charge_waits_exactly_when_there_is_no_room(
    now: int, counts: list[int], cost: int, held: int
) -> None:
    """Whatever is held, used and asked; without any room until the counter is empty."""
    lasts = [START + 100 * place for place in range(len(counts))]
    charge = Charge(RATE, cost, held=held)
    reading = read_buckets(charge, RATE, Buckets(lasts, counts), now)
    moment = max([now, *lasts])
    live = [last for last in lasts if last > moment - WINDOW]
    taken = sum(count for last, count in zip(lasts, counts, strict=True) if last in live)
    assert reading.remaining == max(0, LIMIT - held - taken)
    assert (reading.retry_after_ms > 0) is (taken + held + cost > LIMIT)
    if held + cost > LIMIT:
        empty = live[-1] + WINDOW - now if live else LEAST_WAIT_MS
        assert reading.retry_after_ms == empty


@given(st.integers(1, 31 * 24 * 3_600_000))
def test_sixty_buckets_are_a_window_and_fifty_nine_are_not(window_ms: int) -> None:
    """A bucket is a sixtieth of the window, rounded up to whole milliseconds."""
    width = bucket_width_ms(Rate(name="r", limit=LIMIT, window_ms=window_ms))
    assert 60 * (width - 1) < window_ms <= 60 * width
