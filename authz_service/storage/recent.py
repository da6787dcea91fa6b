"""How the calls of the last second went, in memory that does not grow with them. No I/O."""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_MS: Final = 1_000
SLICE_MS: Final = 100


@dataclass(slots=True)
class _Slice:
    """The calls that ended within one tenth of a second."""

    number: int
    calls: int = 0
    failures: int = 0
    incidents: int = 0


class RecentCalls:
    """Counts calls by tenths of a second, so the second it looks back on is between 0.9 and 1.

    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(self) -> None:
        self._slices: deque[_Slice] = deque(maxlen=WINDOW_MS // SLICE_MS)

    def succeeded(self, now_ms: int) -> None:
        """Count a call that was answered."""
        self._current(now_ms).calls += 1

    def failed(self, now_ms: int, *, new_incident: bool) -> None:
        """Count a call that was not answered, and whether it is the first to tell of its cause."""
        current = self._current(now_ms)
        current.calls += 1
        current.failures += 1
        current.incidents += new_incident

    def half_failed(self, now_ms: int, *, least_incidents: int) -> bool:
        """Say whether half of the calls failed, and for so many causes apart from each other."""
        first = now_ms // SLICE_MS - WINDOW_MS // SLICE_MS + 1
        recent = [part for part in self._slices if part.number >= first]
        if sum(part.incidents for part in recent) < least_incidents:
            return False
        return 2 * sum(part.failures for part in recent) >= sum(part.calls for part in recent)

    def _current(self, now_ms: int) -> _Slice:
        number = now_ms // SLICE_MS
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        return self._slices[-1]
