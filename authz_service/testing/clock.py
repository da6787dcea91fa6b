"""A clock that moves only when a test says so."""


class ManualClock:
    """Wall-clock and monotonic time under a test's control."""

    def __init__(self, now_ms: int = 1_900_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_ms = 0

    def now_ms(self) -> int:
        """Wall-clock milliseconds since the Unix epoch."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Milliseconds that never go backwards."""
        return self._monotonic_ms

    def advance(self, elapsed_ms: int) -> None:
        """Let time pass."""
        self._now_ms += elapsed_ms
        self._monotonic_ms += elapsed_ms

    def step_back(self, by_ms: int) -> None:
        """Set the wall clock back, as a time server does. No time passes."""
        self._now_ms -= by_ms
