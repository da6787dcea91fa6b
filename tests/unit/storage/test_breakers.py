"""One breaker for each part of a store."""

from authz_service.storage.breaker import INCIDENTS_TO_OPEN
from authz_service.storage.breakers import Breakers

GONE_MS = 3_000


def open_part(breakers: Breakers, part: str) -> None:
    """Let calls to a part fail until it is left alone."""
    for _ in range(INCIDENTS_TO_OPEN):
        breaker = breakers.of(part, 0)
        ticket = breaker.ask(0)
        assert ticket is not None
        breaker.failed(ticket, 0)


def test_a_part_that_fails_keeps_no_call_from_another() -> None:
    """Node a is left alone, node b is asked."""
    breakers = Breakers()
    open_part(breakers, "a")
    assert breakers.is_open
    assert breakers.open_count == 1
    assert breakers.of("a", 1).ask(1) is None
    assert breakers.of("b", 1).ask(1) is not None


def test_a_part_that_nobody_asks_any_more_is_forgotten() -> None:
    """A node that left the cluster while it failed does not count as failing for ever."""
    breakers = Breakers()
    open_part(breakers, "a")
    seen = []
    for now_ms in (GONE_MS - 1, GONE_MS):
        breakers.forget_gone(now_ms)
        seen.append(breakers.is_open)
    assert seen == [True, False]


def test_parts_do_not_pile_up() -> None:
    """A new part comes, one that is gone makes room."""
    breakers = Breakers()
    open_part(breakers, "a")
    breakers.of("b", GONE_MS)
    assert not breakers.is_open
