"""How long to leave a server alone that cannot be reached or cannot serve. No I/O."""

from collections.abc import Callable
from typing import Final

_FIRST_MS: Final = 20
_LONGEST_MS: Final = 500  # below the probe interval of the breaker, so that a probe can connect
_FORGOTTEN_MS: Final = 2_000  # above it, so that a server failing every probe is still known


class Backoff:
    """Doubling pauses, each cut by a random part so that processes do not return in step.

    They start from the shortest after two seconds without a failure, rather than at a success: a
    server may accept a connection and then not serve. `random` returns numbers in [0, 1). Moments
    are milliseconds of a clock that never goes backwards.
    """

    def __init__(self, *, random: Callable[[], float]) -> None:
        self._random = random
        self._pause_ms = _FIRST_MS
        self._failed_ms: int | None = None
        self._until_ms: int | None = None

    def is_over(self, now_ms: int) -> bool:
        """Say whether another attempt may be made."""
        return self._until_ms is None or now_ms >= self._until_ms

    def remaining_ms(self, now_ms: int) -> int:
        """Return how long the pause still lasts."""
        return 0 if self._until_ms is None else max(0, self._until_ms - now_ms)

    def failed(self, now_ms: int) -> None:
        """Note a failure."""
        if self._failed_ms is None or now_ms >= self._failed_ms + _FORGOTTEN_MS:
            self._pause_ms = _FIRST_MS
        self._failed_ms = now_ms
        self._until_ms = now_ms + int(self._pause_ms * (1 + self._random()) / 2)
        self._pause_ms = min(2 * self._pause_ms, _LONGEST_MS)
