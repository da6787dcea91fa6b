"""Denials that a process remembers, lest a caller over its limit cost the store a call each time.

No I/O.
"""

from typing import Final, NamedTuple

from authz_service.core.meter import Metered, told_later
from authz_service.core.rules import Charge
from authz_service.storage.generations import Generations

LONGEST_MS: Final = 1_000
"""How long a denial is told from memory at most: so long may a reset of counters go unnoticed."""

MAX_SUBJECTS: Final = 20_000
MAX_QUESTIONS: Final = 8
"""Of one subject: routes at different costs, or with limits of their own, are different ones."""


class _Denial(NamedTuple):
    metered: Metered
    received_ms: int
    until_ms: int


class Denials:
    """The store's own denials, by subject and by what was asked: limits, their values and costs.

    A denial holds until a place of one of the limits that denied it comes free. Moments are
    milliseconds of a clock that never goes backwards.
    """

    def __init__(self, *, max_subjects: int = MAX_SUBJECTS) -> None:
        self._by_subject = Generations[str, dict[tuple[Charge, ...], _Denial]](
            at_least=max_subjects // 2
        )

    def recall(self, subject: str, charges: tuple[Charge, ...], now_ms: int) -> Metered | None:
        """The denial that still holds, its times told as of now."""
        denials = self._by_subject.get(subject)
        denial = denials.get(charges) if denials else None
        if denial is None or now_ms >= denial.until_ms:
            return None
        return told_later(denial.metered, now_ms - denial.received_ms)

    def note(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        metered: Metered,
        *,
        asked_ms: int,
        received_ms: int,
    ) -> None:
        """Remember a denial.

        The answer's times count from a moment between the two: from the earlier one it is certain
        that no place is denied that has come free and no reset unnoticed for longer than it may be,
        from the later one that no wait is too short.
        """
        frees_ms = min(reading.reset_ms for reading in metered.readings if reading.retry_after_ms)
        until_ms = asked_ms + min(frees_ms, LONGEST_MS)
        denials = self._by_subject.get(subject)
        if denials is None:
            denials = {}
            self._by_subject.put(subject, denials)
        denials.pop(charges, None)  # so that its place in the order is the last
        if len(denials) >= MAX_QUESTIONS:
            del denials[next(iter(denials))]
        denials[charges] = _Denial(metered, received_ms, until_ms)

    def clear(self) -> None:
        """Forget everything."""
        self._by_subject.clear()
