"""Answers that a process remembers for a moment, lest one request be charged twice."""

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from authz_service.core.meter import REMEMBERED_MS

MAX_ANSWERS: Final = 20_000
"""How many answers one process remembers: those of two seconds at 10,000 admissions a second."""

Answer = TypeVar("Answer")


class _Given(NamedTuple, Generic[Answer]):
    given_ms: int
    answer: Answer


class RecentAnswers(Generic[Answer]):
    """What was answered, by key, for `REMEMBERED_MS`.

    Beyond `max_answers` the oldest one is forgotten: its request would be charged again, which
    exceeds no limit. `later` tells an answer with so many milliseconds passed.
    """

    def __init__(
        self, later: Callable[[Answer, int], Answer], *, max_answers: int = MAX_ANSWERS
    ) -> None:
        self._later = later
        self._max_answers = max_answers
        self._answers: dict[bytes, _Given[Answer]] = {}  # in the order they were given

    def recall(self, key: bytes, now_ms: int) -> Answer | None:
        """Return the answer given under a key, its times told as of now."""
        given = self._answers.get(key)
        if given is None or now_ms >= given.given_ms + REMEMBERED_MS:
            return None
        return self._later(given.answer, now_ms - given.given_ms)

    def remember(self, key: bytes, answer: Answer, now_ms: int) -> None:
        """Keep an answer, and drop those that are too old or too many."""
        self._answers.pop(key, None)  # so that its place in the order is the last
        self._answers[key] = _Given(now_ms, answer)
        while self._oldest_is_due(now_ms):
            del self._answers[next(iter(self._answers))]

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()

    def _oldest_is_due(self, now_ms: int) -> bool:
        oldest = next(iter(self._answers.values()))
        is_old = now_ms >= oldest.given_ms + REMEMBERED_MS
        return is_old or len(self._answers) > self._max_answers
