"""When something that may happen thousands of times a second is told of again."""

from typing import Final

from authz_service.clock import Clock

_QUIET_MS: Final = 60_000


class OnceAMinute:
    """Whether it is time for a line: for the first one, and a minute after each at the earliest."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quiet_until_ms: int | None = None

    def is_due(self) -> bool:
        """True where a line is to be written now: with that the next minute begins."""
        now_ms = self._clock.monotonic_ms()
        if self._quiet_until_ms is not None and now_ms < self._quiet_until_ms:
            return False
        self._quiet_until_ms = now_ms + _QUIET_MS
        return True
