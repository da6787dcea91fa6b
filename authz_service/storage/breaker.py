"""When to stop asking a dependency that keeps failing, and when to try it again. No I/O."""

from typing import Final

FAILURES_TO_OPEN: Final = 5
PROBE_INTERVAL_MS: Final = 1_000


class Breaker:
    """A circuit breaker: closed, it lets every call through; open, one a second.

    It opens after five failures without a success between them and closes on the first success.
    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are being held back."""
        return self._next_probe_ms is not None

    def lets_through(self, now_ms: int) -> bool:
        """Say whether a call may be made now. While open, a yes is this second's only one."""
        if self._next_probe_ms is None:
            return True
        if now_ms < self._next_probe_ms:
            return False
        self._next_probe_ms = now_ms + PROBE_INTERVAL_MS
        return True

    def succeeded(self) -> None:
        """Note that a call was answered."""
        self._failures = 0
        self._next_probe_ms = None

    def failed(self, now_ms: int) -> None:
        """Note that a call was not answered. Calls made before it opened do not delay a probe."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN and self._next_probe_ms is None:
            self._next_probe_ms = now_ms + PROBE_INTERVAL_MS
