"""Denials that a process remembers, lest a caller over its limit cost the store a call each time.

No I/O.
"""

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from authz_service.core.hits import Counted, Hit, come_free_ms, counted_later
from authz_service.core.meter import Metered, told_later
from authz_service.core.rules import Charge
from authz_service.storage.generations import Generations

LONGEST_MS: Final = 1_000
"""How long a denial is told from memory at most: so long may a reset of counters go unnoticed."""

MAX_SUBJECTS: Final = 20_000
MAX_QUESTIONS: Final = 8
"""Of one subject: routes at different costs, or with limits of their own, are different ones."""

MAX_HITS: Final = 8
MAX_CHARACTERS: Final = 1_000
"""What several subjects are called comes from requests. Longer questions are not remembered."""

Subject = TypeVar("Subject")
Question = TypeVar("Question")
Answer = TypeVar("Answer")


class _Denial(NamedTuple, Generic[Answer]):
    answer: Answer
    received_ms: int
    until_ms: int


class _Memory(Generic[Subject, Question, Answer]):
    """Answers by subject and by what was asked, each until a moment of its own.

    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(
        self, later: Callable[[Answer, int], Answer], *, max_subjects: int, max_questions: int
    ) -> None:
        self._later = later
        self._max_questions = max_questions
        self._by_subject = Generations[Subject, dict[Question, _Denial[Answer]]](
            at_least=max_subjects // 2
        )

    def recall(self, subject: Subject, question: Question, now_ms: int) -> Answer | None:
        """The answer that still holds, its times told as of now."""
        denials = self._by_subject.get(subject)
        denial = denials.get(question) if denials else None
        if denial is None or now_ms >= denial.until_ms:
            return None
        return self._later(denial.answer, now_ms - denial.received_ms)

    def put(self, subject: Subject, question: Question, denial: _Denial[Answer]) -> None:
        """Keep an answer, in place of the oldest one of its subject where there are many."""
        denials = self._by_subject.get(subject)
        if denials is None:
            denials = {}
            self._by_subject.put(subject, denials)
        denials.pop(question, None)  # so that its place in the order is the last
        if len(denials) >= self._max_questions:
            del denials[next(iter(denials))]
        denials[question] = denial

    def clear(self) -> None:
        """Forget everything."""
        self._by_subject.clear()


class Denials:
    """The store's own denials, by subject and by what was asked: limits, their values and costs.

    A denial holds until a place of one of the limits that denied it comes free. Its times count
    from a moment between asking and hearing: from the earlier one it is certain that no place is
    denied that has come free and no reset unnoticed for longer than it may be, from the later one
    that no wait is too short.
    """

    def __init__(self, *, max_subjects: int = MAX_SUBJECTS) -> None:
        self._memory = _Memory[str, tuple[Charge, ...], Metered](
            told_later, max_subjects=max_subjects, max_questions=MAX_QUESTIONS
        )

    def recall(self, subject: str, charges: tuple[Charge, ...], now_ms: int) -> Metered | None:
        """The denial that still holds, its times told as of now."""
        return self._memory.recall(subject, charges, now_ms)

    def note(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        metered: Metered,
        *,
        asked_ms: int,
        received_ms: int,
    ) -> None:
        """Remember a denial."""
        frees_ms = min(reading.reset_ms for reading in metered.readings if reading.retry_after_ms)
        until_ms = asked_ms + min(frees_ms, LONGEST_MS)
        self._memory.put(subject, charges, _Denial(metered, received_ms, until_ms))

    def clear(self) -> None:
        """Forget everything."""
        self._memory.clear()


class HitDenials:
    """What `Denials` are, of requests with several subjects.

    One holds until a place comes free of any limit that was over, also of one that does not refuse:
    so it is told as over for as long as it is. Fixed windows count what is refused, so a request
    with one is not remembered. Of requests of the same subjects the latest one is.
    """

    def __init__(self, *, max_requests: int = MAX_SUBJECTS) -> None:
        self._memory = _Memory[tuple[str, ...], tuple[Hit, ...], Counted](
            counted_later, max_subjects=max_requests, max_questions=1
        )

    def recall(self, hits: tuple[Hit, ...], now_ms: int) -> Counted | None:
        """The denial that still holds, its times told as of now."""
        return self._memory.recall(_subjects(hits), hits, now_ms)

    def note(
        self, hits: tuple[Hit, ...], counted: Counted, *, asked_ms: int, received_ms: int
    ) -> None:
        """Remember a denial, if asking again would change nothing, and if it is not too long."""
        subjects = _subjects(hits)
        if any(hit.is_fixed for hit in hits) or len(hits) > MAX_HITS:
            return
        if sum(map(len, subjects)) > MAX_CHARACTERS:
            return
        until_ms = asked_ms + min([LONGEST_MS, *come_free_ms(counted)])
        self._memory.put(subjects, hits, _Denial(counted, received_ms, until_ms))

    def clear(self) -> None:
        """Forget everything."""
        self._memory.clear()


def _subjects(hits: tuple[Hit, ...]) -> tuple[str, ...]:
    return tuple(hit.subject for hit in hits)
