"""What the shared store last said of each counter, for the time that it says nothing. No I/O."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from authz_service.core.counter_key import counter_kind
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


class _Heard(NamedTuple):
    """Numbers alone: limits of a key's own are made anew for each request, and would be kept."""

    places: int
    reset_ms: int
    at_ms: int


class LastReadings:
    """The last reading of each counter, of those that were heard of most lately.

    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(self, *, counters: int = COUNTERS) -> None:
        self._heard = Generations[tuple[str, str, str], _Heard](at_least=counters)

    def note(self, subject: str, readings: Iterable[Reading], now_ms: int) -> None:
        """Keep what was said of a subject's counters."""
        for reading in readings:
            charge = reading.charge
            places = charge.limit.limit - charge.held - reading.remaining
            heard = _Heard(places, reading.reset_ms, now_ms)
            self._heard.put(_counter(subject, charge.limit), heard)

    def taken(self, subject: str, limit: Limit, now_ms: int) -> Taken:
        """How many places of a limit the shared store may still count.

        When each of them comes free is not known: all are taken to have been new when last heard
        of, so that none is given out twice.
        """
        heard = self._heard.get(_counter(subject, limit))
        if heard is None:
            return _NOTHING
        counted_ms = limit.window_ms if isinstance(limit, Rate) else heard.reset_ms
        left_ms = heard.at_ms + counted_ms - now_ms
        if left_ms <= 0 or heard.places <= 0:
            return _NOTHING
        return Taken(min(heard.places, limit.limit), left_ms)


def _counter(subject: str, limit: Limit) -> tuple[str, str, str]:
    """Limits of different kinds may share a name, never a counter."""
    return subject, counter_kind(limit), limit.name
