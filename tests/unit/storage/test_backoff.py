"""How long a server is left alone after failed attempts to connect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.storage.breaker import PROBE_INTERVAL_MS
from authz_service.storage.redis.backoff import Backoff


def pauses(random: float, attempts: int) -> list[int]:
    """Return the pauses after so many failures in a row."""
    backoff = Backoff(random=lambda: random)
    found = []
    for _ in range(attempts):
        backoff.failed(0)
        found.append(next(ms for ms in range(10_000) if backoff.is_over(ms)))
    return found


def test_pauses_double_up_to_half_a_second() -> None:
    """Without the random part: exactly half of 20, 40, ... and never more than 500 ms."""
    assert pauses(0.0, 7) == [10, 20, 40, 80, 160, 250, 250]


def test_the_first_attempt_and_a_late_one_come_at_once() -> None:
    """A connection lost long after a failure is made again without a pause."""
    backoff = Backoff(random=lambda: 0.5)
    assert backoff.is_over(0)
    backoff.failed(0)
    assert not backoff.is_over(0)
    assert backoff.is_over(15)


@pytest.mark.parametrize(("quiet_ms", "pause_ms"), [(1_999, 30), (2_000, 15)])
def test_two_seconds_without_a_failure_are_forgiven(quiet_ms: int, pause_ms: int) -> None:
    """Then the pauses start from the shortest again; a millisecond earlier they go on doubling."""
    backoff = Backoff(random=lambda: 0.5)
    backoff.failed(0)
    backoff.failed(quiet_ms)
    assert not backoff.is_over(quiet_ms + pause_ms - 1)
    assert backoff.is_over(quiet_ms + pause_ms)


@given(random=st.floats(0, 1, exclude_max=True), attempts=st.integers(1, 12))
def test_every_pause_ends_before_the_next_probe(random: float, attempts: int) -> None:
    """A probe of the breaker always finds a server that is back."""
    assert max(pauses(random, attempts)) < PROBE_INTERVAL_MS
