"""Denials of requests with several subjects: until when they hold, and which are remembered."""

from dataclasses import replace

import pytest

from authz_service.core.hits import Count, Counted, Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.storage.denials import LONGEST_MS, MAX_CHARACTERS, MAX_HITS, HitDenials

TEN = Hit("a", Rate(name="60s", limit=10, window_ms=60_000))
SHADOW = replace(TEN, subject="b", says=Says.SHADOW)
WIDE = replace(TEN, subject="c")
HITS = (TEN, SHADOW, WIDE)


def over(reset_ms: int, wait_ms: int, used: int = 10) -> Count:
    """A limit without room."""
    return Count(
        over=True,
        remaining=0,
        reset_ms=reset_ms,
        retry_after_ms=wait_ms,
        used_before=used,
        counted=False,
    )


ROOM = Count(over=False, remaining=4, reset_ms=5, retry_after_ms=0, used_before=6, counted=False)


def denial(*counts: Count) -> Counted:
    """What a store said."""
    return Counted(over=True, counts=counts)


REFUSED = denial(over(800, 900), over(600, 700), ROOM)


def noted(counted: Counted, *hits: Hit, asked_ms: int = 0, received_ms: int = 0) -> HitDenials:
    """A memory of one denial."""
    denials = HitDenials()
    denials.note(hits, counted, asked_ms=asked_ms, received_ms=received_ms)
    return denials


def test_a_denial_is_told_with_the_time_that_has_passed() -> None:
    """Waits and resets are counted from the answer; the rest is as it was."""
    told = noted(REFUSED, *HITS, asked_ms=100, received_ms=120).recall(HITS, 420)
    assert told == denial(over(500, 600), over(300, 400), replace(ROOM, reset_ms=0))


def test_a_denial_ends_when_any_limit_that_is_over_has_a_place() -> None:
    """Also one in shadow: what is told as over is over. Counted from asking."""
    denials = noted(REFUSED, *HITS, asked_ms=100, received_ms=120)
    assert denials.recall(HITS, 699) is not None
    assert denials.recall(HITS, 700) is None
    never = noted(denial(over(800, 0, used=3)), TEN)
    assert never.recall((TEN,), 800) is None


def test_no_denial_is_told_for_longer_than_a_second() -> None:
    """However full the limit, and also where nothing will ever pass."""
    for count in (over(60_000, 60_000), over(0, 0, used=0)):
        denials = noted(denial(count), TEN, asked_ms=100, received_ms=120)
        assert denials.recall((TEN,), 100 + LONGEST_MS - 1) is not None
        assert denials.recall((TEN,), 100 + LONGEST_MS) is None


def test_a_ban_is_told_without_a_wait() -> None:
    """None would help, also a moment later."""
    told = noted(denial(over(0, 0, used=0)), TEN).recall((TEN,), 500)
    assert told == denial(over(0, 0, used=0))


@pytest.mark.parametrize(
    "other",
    [
        replace(TEN, subject="b"),
        replace(TEN, cost=2),
        replace(TEN, says=Says.SHADOW),
        replace(TEN, limit=replace(TEN.limit, limit=11)),
        replace(TEN, limit=Fixed(name="60s", limit=10, window_ms=60_000)),
    ],
)
def test_a_denial_answers_the_same_question_only(other: Hit) -> None:
    """Another subject, cost, mode, limit or way to count is another; so is one hit more."""
    denials = noted(denial(over(800, 800)), TEN)
    assert denials.recall((TEN,), 0) is not None
    assert denials.recall((other,), 0) is None
    assert denials.recall((TEN, TEN), 0) is None


def test_a_request_with_a_fixed_window_is_not_remembered() -> None:
    """It counts what is refused, so it has to be asked."""
    window = Hit("b", Fixed(name="60s", limit=10, window_ms=60_000))
    assert noted(denial(over(800, 800), ROOM), TEN, window).recall((TEN, window), 0) is None


def test_long_questions_are_not_remembered() -> None:
    """Whoever can invent descriptors cannot fill the memory with them."""
    many = (TEN,) * (MAX_HITS + 1)
    assert noted(denial(*[over(800, 800)] * len(many)), *many).recall(many, 0) is None
    for length, kept in ((MAX_CHARACTERS, True), (MAX_CHARACTERS + 1, False)):
        long = replace(TEN, subject="x" * length)
        assert (noted(denial(over(800, 800)), long).recall((long,), 0) is not None) is kept


def test_the_memory_is_bounded() -> None:
    """The requests denied last are kept; of the same subjects the last one."""
    denials = HitDenials(max_requests=100)
    full = denial(over(800, 800))
    for number in range(1_000):
        for cost in (1, 2):
            hit = replace(TEN, subject=str(number), cost=cost)
            denials.note((hit,), full, asked_ms=0, received_ms=0)
    kept = [
        (number, cost)
        for number in range(1_000)
        for cost in (1, 2)
        if denials.recall((replace(TEN, subject=str(number), cost=cost),), 0)
    ]
    assert 50 <= len(kept) <= 100
    assert {cost for _, cost in kept} == {2}
    assert kept[-1] == (999, 2)
