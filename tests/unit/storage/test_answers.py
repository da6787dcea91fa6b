"""What a process remembers of its answers, and that it does not remember too much."""

from authz_service.core.meter import REMEMBERED_MS, Metered, Reading, told_later
from authz_service.core.rules import Charge, Rate
from authz_service.storage.answers import RecentAnswers

CHARGE = Charge(Rate(name="rate", limit=9, window_ms=60_000), 1)


def answer(remaining: int) -> Metered:
    """Make an answer that can be told from others."""
    return Metered(admitted=True, readings=(Reading(CHARGE, remaining, 60_000, 0),))


def test_more_answers_than_fit_push_out_the_oldest() -> None:
    """The newest ones stay, however many come within two seconds."""
    answers = RecentAnswers(told_later, max_answers=3)
    for number in range(9):
        answers.remember(b"%d" % number, answer(number), 1_000)
    kept = [number for number in range(9) if answers.recall(b"%d" % number, 1_000)]
    assert kept == [6, 7, 8]


def test_answers_too_old_to_tell_are_dropped() -> None:
    """Memory follows the admissions of the last two seconds, not all there ever were."""
    answers = RecentAnswers(told_later)
    for number in range(500):
        answers.remember(b"%d" % number, answer(number), number * 100)
    assert len(answers._answers) == REMEMBERED_MS // 100


def test_a_key_used_again_counts_from_its_second_answer() -> None:
    """An answer given again after two seconds is as new as any, also for its place in the queue."""
    answers = RecentAnswers(told_later, max_answers=2)
    answers.remember(b"again", answer(1), 0)
    answers.remember(b"other", answer(2), REMEMBERED_MS - 1)
    answers.remember(b"again", answer(3), REMEMBERED_MS)
    answers.remember(b"third", answer(4), REMEMBERED_MS)
    assert answers.recall(b"again", REMEMBERED_MS) == answer(3)
    assert answers.recall(b"other", REMEMBERED_MS) is None
