"""Answers that a process remembers for a moment, lest one request be charged twice."""

from typing import Final, NamedTuple

from authz_service.core.meter import REMEMBERED_MS, Metered, told_later

MAX_ANSWERS: Final = 20_000
"""How many answers one process remembers: those of two seconds at 10,000 admissions a second."""


class _Answer(NamedTuple):
    given_ms: int
    metered: Metered


class RecentAnswers:
    """What was answered, by key, for `REMEMBERED_MS`.

    Beyond `max_answers` the oldest one is forgotten: its request would be charged again, which
    exceeds no limit.
    """

    def __init__(self, *, max_answers: int = MAX_ANSWERS) -> None:
        self._max_answers = max_answers
        self._answers: dict[bytes, _Answer] = {}  # in the order they were given

    def recall(self, key: bytes, now_ms: int) -> Metered | None:
        """Return the answer given under a key, its resets told as of now."""
        answer = self._answers.get(key)
        if answer is None or now_ms >= answer.given_ms + REMEMBERED_MS:
            return None
        return told_later(answer.metered, now_ms - answer.given_ms)

    def remember(self, key: bytes, metered: Metered, now_ms: int) -> None:
        """Keep an answer, and drop those that are too old or too many."""
        self._answers.pop(key, None)  # so that its place in the order is the last
        self._answers[key] = _Answer(now_ms, metered)
        while self._oldest_is_due(now_ms):
            del self._answers[next(iter(self._answers))]

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()

    def _oldest_is_due(self, now_ms: int) -> bool:
        oldest = next(iter(self._answers.values()))
        is_old = now_ms >= oldest.given_ms + REMEMBERED_MS
        return is_old or len(self._answers) > self._max_answers
