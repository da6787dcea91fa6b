"""What the shared store last said of each counter, for the time that it says nothing. No I/O."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from authz_service.core.meter import Reading
from authz_service.core.rules import Limit, Rate
from authz_service.storage.generations import Generations

COUNTERS: Final = 20_000
"""Of so many counters at least the last reading is known; see `docs/limits.md` for the bytes."""


class Taken(NamedTuple):
    """Places of a limit that are taken in the shared store, for `left_ms` more at the longest."""

    places: int
    left_ms: int


_NOTHING: Final = Taken(0, 0)


class LastReadings:
    """The last reading of each counter, of those that were heard of most lately.

    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(self, *, counters: int = COUNTERS) -> None:
        self._heard = Generations[tuple[str, str], tuple[Reading, int]](at_least=counters)

    def note(self, subject: str, readings: Iterable[Reading], now_ms: int) -> None:
        """Keep what was said of a subject's counters."""
        for reading in readings:
            self._heard.put((subject, reading.charge.limit.name), (reading, now_ms))

    def taken(self, subject: str, limit: Limit, now_ms: int) -> Taken:
        """How many places of a limit the shared store may still count.

        When each of them comes free is not known: all are taken to have been new when last heard
        of, so that none is given out twice.
        """
        heard = self._heard.get((subject, limit.name))
        if heard is None:
            return _NOTHING
        reading, at_ms = heard
        then = reading.charge
        if isinstance(then.limit, Rate) is not isinstance(limit, Rate):
            return _NOTHING  # a rate and a quota may share a name, never a counter
        counted_ms = limit.window_ms if isinstance(limit, Rate) else reading.reset_ms
        left_ms = at_ms + counted_ms - now_ms
        places = then.limit.limit - then.held - reading.remaining
        if left_ms <= 0 or places <= 0:
            return _NOTHING
        return Taken(min(places, limit.limit), left_ms)
