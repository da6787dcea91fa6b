"""The arithmetic of windows under any arrivals: exact, all or nothing, honest about waits."""

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.meter import Log, read_rate, take_rate
from authz_service.core.rules import Charge, Rate

WINDOW = 1_000
COSTS = st.integers(1, 3)
PAUSES = st.one_of(st.integers(0, 300), st.sampled_from([WINDOW - 1, WINDOW]))
STEPS_BACK = st.integers(-2 * WINDOW, -1)


HELD = st.one_of(st.just(0), st.integers(1, 9))


@given(limit=st.integers(3, 8), arrivals=st.lists(st.tuples(PAUSES, COSTS, HELD), max_size=60))
def test_a_window_admits_all_it_may_and_no_more(
    limit: int, arrivals: list[tuple[int, int, int]]
) -> None:
    """Against the plainest definition: sum what was admitted in (now - window, now], and held."""
    rate = Rate(name="r", limit=limit, window_ms=WINDOW)
    log: Log = ()
    admitted: list[tuple[int, int]] = []
    now = 10_000
    for pause, cost, held in arrivals:
        now += pause
        used = held + sum(units for moment, units in admitted if now - WINDOW < moment <= now)
        charge = Charge(rate, cost, held=held)
        reading = read_rate(charge, rate, log, now)
        assert reading.remaining == max(0, limit - used)
        assert (reading.retry_after_ms == 0) is (used + cost <= limit)
        if reading.retry_after_ms == 0:
            admitted.append((now, cost))
            taken = take_rate(charge, rate, log, now)
            log = taken.counter
            assert taken.reading.remaining == limit - used - cost
            assert len(log) <= limit


@given(
    limit=st.integers(3, 8),
    held=st.integers(0, 3),
    arrivals=st.lists(st.tuples(st.one_of(PAUSES, PAUSES, STEPS_BACK), COSTS), max_size=60),
)
def test_a_wait_is_right_to_the_millisecond(
    limit: int, held: int, arrivals: list[tuple[int, int]]
) -> None:
    """A millisecond before the wait is over it still denies, then it admits, however time moved."""
    rate = Rate(name="r", limit=limit + held, window_ms=WINDOW)
    log: Log = ()
    now = 100_000
    for pause, cost in arrivals:
        now += pause
        charge = Charge(rate, cost, held=held)
        wait = read_rate(charge, rate, log, now).retry_after_ms
        if wait == 0:
            log = take_rate(charge, rate, log, now).counter
            continue
        assert read_rate(charge, rate, log, now + wait - 1).retry_after_ms == 1
        assert read_rate(charge, rate, log, now + wait).retry_after_ms == 0
