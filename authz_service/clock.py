"""The only place that asks what time it is; everything else is told."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time that tests can replace."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the Unix epoch. May step backwards."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never go backwards, from an arbitrary start."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - this module is the door

    def monotonic_ms(self) -> int:
        """Milliseconds since some fixed moment."""
        return time.monotonic_ns() // 1_000_000


def stopwatch() -> float:
    """Seconds from some fixed moment, fine enough to time one check."""
    return time.perf_counter()
