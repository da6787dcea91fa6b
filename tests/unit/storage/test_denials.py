"""Denials told from memory: never one that would not be given, and not for long."""

from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Rate
from authz_service.storage.denials import LONGEST_MS, MAX_QUESTIONS, Denials

TEN = Charge(Rate(name="r", limit=10, window_ms=60_000), 1)
HUNDRED = Charge(Rate(name="s", limit=100, window_ms=60_000), 1)
BOTH = (TEN, HUNDRED)


def denial(reset_ms: int, retry_ms: int | None = None) -> Metered:
    """The first limit is exhausted, the second is not."""
    wait_ms = reset_ms if retry_ms is None else retry_ms
    return Metered(
        admitted=False, readings=(Reading(TEN, 0, reset_ms, wait_ms), Reading(HUNDRED, 60, 5, 0))
    )


def noted(metered: Metered, *, asked_ms: int = 0, received_ms: int = 0) -> Denials:
    """A memory of one denial."""
    denials = Denials()
    denials.note("key:a", BOTH, metered, asked_ms=asked_ms, received_ms=received_ms)
    return denials


def test_a_denial_is_told_with_the_time_that_has_passed() -> None:
    """Resets and waits have become shorter; what is left has not changed."""
    told = noted(denial(reset_ms=800)).recall("key:a", BOTH, 300)
    assert told == Metered(
        admitted=False, readings=(Reading(TEN, 0, 500, 500), Reading(HUNDRED, 60, 0, 0))
    )


def test_a_denial_ends_when_a_place_comes_free() -> None:
    """Counted from the moment of asking: the answer is at least that old."""
    denials = noted(denial(reset_ms=800, retry_ms=9_000), asked_ms=100, received_ms=120)
    assert denials.recall("key:a", BOTH, 899) is not None
    assert denials.recall("key:a", BOTH, 900) is None


def test_a_wait_is_told_from_the_moment_of_the_answer() -> None:
    """The answer may be as young as that, so no wait is too short."""
    told = noted(denial(reset_ms=800), asked_ms=100, received_ms=120).recall("key:a", BOTH, 121)
    assert told is not None
    assert told.readings[0].retry_after_ms == 799


def test_no_denial_is_told_for_longer_than_a_second() -> None:
    """From asking: a reset while the answer is on its way is noticed within that time as well."""
    denials = noted(denial(reset_ms=60_000), asked_ms=100, received_ms=120)
    assert denials.recall("key:a", BOTH, 100 + LONGEST_MS - 1) is not None
    assert denials.recall("key:a", BOTH, 100 + LONGEST_MS) is None


def test_a_denial_answers_the_same_question_only() -> None:
    """Another subject, another limit, another value of it, another cost: the store is asked."""
    denials = noted(denial(reset_ms=800))
    eleven = Charge(Rate(name="r", limit=11, window_ms=60_000), 1)
    assert denials.recall("key:b", BOTH, 0) is None
    assert denials.recall("key:a", (TEN,), 0) is None
    assert denials.recall("key:a", (eleven, HUNDRED), 0) is None
    assert denials.recall("key:a", (Charge(TEN.limit, 2), HUNDRED), 0) is None


def test_several_questions_of_one_subject_are_remembered() -> None:
    """A caller who alternates between two routes is told from memory on both."""
    denials = noted(denial(reset_ms=800))
    alone = Metered(admitted=False, readings=(Reading(TEN, 0, 700, 700),))
    denials.note("key:a", (TEN,), alone, asked_ms=0, received_ms=0)
    assert denials.recall("key:a", BOTH, 0) == denial(reset_ms=800)
    assert denials.recall("key:a", (TEN,), 0) == alone


def test_the_memory_is_bounded() -> None:
    """The subjects denied last are kept, the first ones are forgotten."""
    denials = Denials(max_subjects=100)
    for number in range(1_000):
        denials.note(f"key:{number}", BOTH, denial(800), asked_ms=0, received_ms=0)
    kept = [n for n in range(1_000) if denials.recall(f"key:{n}", BOTH, 0)]
    assert 50 <= len(kept) <= 100
    assert kept[-1] == 999


def test_everything_can_be_forgotten() -> None:
    """As when another policy takes effect."""
    denials = noted(denial(reset_ms=800))
    denials.clear()
    assert denials.recall("key:a", BOTH, 0) is None


def test_of_one_subject_only_the_latest_questions_are_kept() -> None:
    """Whoever runs into every limit of every route takes no more memory than this."""
    denials = Denials()
    questions = [(Charge(TEN.limit, cost), HUNDRED) for cost in range(1, MAX_QUESTIONS + 1)]
    for asked in [*questions, questions[0], BOTH[1:]]:
        denials.note("key:a", asked, denial(reset_ms=800), asked_ms=0, received_ms=0)
    kept = [denials.recall("key:a", asked, 1) is not None for asked in [*questions, BOTH[1:]]]
    assert kept == [True, False, *[True] * (MAX_QUESTIONS - 1)]
