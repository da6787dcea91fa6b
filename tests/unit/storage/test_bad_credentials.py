"""Guessing is limited by address."""

from authz_service.core.rules import Rate
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.testing.clock import ManualClock

RATE = Rate(name="bad-credentials", limit=3, window_ms=60_000)


def test_an_address_waits_after_so_many_bad_credentials() -> None:
    """Three are let through to their refusal, the fourth waits until the first has left."""
    clock = ManualClock()
    guesses = BadCredentials(clock)
    waits = []
    for _ in range(4):
        waits.append(guesses.note("203.0.113.7", RATE))
        clock.advance(1_000)
    assert waits == [0, 0, 0, 57_000]


def test_addresses_are_counted_apart() -> None:
    """One that guesses does not make another wait."""
    guesses = BadCredentials(ManualClock())
    for _ in range(4):
        guesses.note("203.0.113.7", RATE)
    assert guesses.note("203.0.113.8", RATE) == 0


def test_who_waits_as_told_may_try_again() -> None:
    """Attempts during the wait do not prolong it."""
    clock = ManualClock()
    guesses = BadCredentials(clock)
    for _ in range(3):
        guesses.note("203.0.113.7", RATE)
    for _ in range(60):
        clock.advance(1_000)
        wait_ms = guesses.note("203.0.113.7", RATE)
    assert wait_ms == 0


def test_a_wall_clock_set_back_changes_nothing() -> None:
    """Windows are measured on a clock that never goes backwards."""
    clock = ManualClock()
    guesses = BadCredentials(clock)
    for _ in range(3):
        guesses.note("203.0.113.7", RATE)
    clock.step_back(3_600_000)
    clock.advance(60_000)
    assert guesses.note("203.0.113.7", RATE) == 0


def test_memory_is_bounded() -> None:
    """Beyond so many addresses the one heard of longest ago is forgotten, the others are not."""
    guesses = BadCredentials(ManualClock(), max_addresses=2)
    for address in ("a", "b", "a", "a", "c"):
        guesses.note(address, RATE)
    assert guesses.note("a", RATE) > 0
    assert guesses.note("b", RATE) == 0
