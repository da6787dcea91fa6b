"""When keys are fetched next. Pure: moments in, moments out."""

from collections.abc import Callable

_FIRST_RETRY_MS = 1_000
_MAX_DOUBLINGS = 20


class RefreshPlan:
    """One fetch after another, never two at once. Moments are monotonic milliseconds.

    After a success the next is due when `refresh_ms` has almost passed; after failures the pauses
    double, up to the same. Whoever misses a key can bring it forward, but not to less than
    `cooldown_ms` after the last one: what is asked for sooner is not forgotten, it waits.

    Every pause is shortened at random by up to a tenth, so that many workers do not ask at once;
    `random` gives numbers from 0 to 1.
    """

    def __init__(
        self, *, refresh_ms: int, cooldown_ms: int, now_ms: int, random: Callable[[], float]
    ) -> None:
        self._refresh_ms = refresh_ms
        self._cooldown_ms = cooldown_ms
        self._random = random
        self._failures = 0
        self._earliest_ms = now_ms
        self.due_ms = now_ms

    def succeeded(self, now_ms: int) -> None:
        """A fetch that gave keys ended."""
        self._failures = 0
        self._ended(now_ms, self._refresh_ms)

    def failed(self, now_ms: int) -> None:
        """A fetch ended without keys."""
        pause_ms = min(_FIRST_RETRY_MS << self._failures, self._refresh_ms)
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        self._ended(now_ms, pause_ms)

    def look_again(self) -> None:
        """A key is missing."""
        self.due_ms = min(self.due_ms, self._earliest_ms)

    def _ended(self, now_ms: int, pause_ms: int) -> None:
        self._earliest_ms = now_ms + self._cooldown_ms
        self.due_ms = now_ms + int(pause_ms * (1 - self._random() / 10))
