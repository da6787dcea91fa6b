"""How long a dead worker stays dead, and when nobody starts it again."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from authz_service.supervise.restarts import MAX_DEATHS, WITHIN_MS, Restarts

gaps = st.lists(st.integers(0, WITHIN_MS * 2), min_size=1, max_size=30)


def delays(moments: list[int]) -> list[int | None]:
    """What is decided at each of these deaths, until it is given up."""
    restarts, told = Restarts(), list[int | None]()
    for moment in moments:
        told.append(restarts.delay_ms(moment))
        if told[-1] is None:
            break
    return told


def test_each_death_of_a_row_doubles_the_wait_until_the_fifth() -> None:
    """Nearly at once the first time; the fifth within half a minute is the last."""
    assert delays([0, 1_000, 2_000, 3_000, 4_000]) == [100, 200, 400, 800, None]


def test_a_death_of_half_a_minute_ago_is_forgotten() -> None:
    """The window is half open: exactly thirty seconds later it is as if it had not been."""
    assert delays([0, WITHIN_MS]) == [100, 100]
    assert delays([0, WITHIN_MS - 1]) == [100, 200]


@given(gaps)
def test_only_the_fifth_death_within_the_window_is_the_last(
    gaps: list[int],
) -> None:
    """Whenever workers die: the count is of any trailing half minute."""
    moments = list(accumulate(gaps))

    for death, told in enumerate(delays(moments)):
        recent = [it for it in moments[: death + 1] if it > moments[death] - WITHIN_MS]
        assert (told is None) == (len(recent) >= MAX_DEATHS)


@given(gaps)
def test_the_wait_is_never_longer_than_a_second(gaps: list[int]) -> None:
    """What is started again at all is started soon."""
    waits = [told for told in delays(list(accumulate(gaps))) if told is not None]

    assert all(100 <= wait <= 800 for wait in waits)
