"""When to stop asking a dependency that keeps failing, and when to try it again. No I/O."""

from typing import Final

from authz_service.storage.recent import RecentCalls

INCIDENTS_TO_OPEN: Final = 5
PROBE_INTERVAL_MS: Final = 1_000


class Breaker:
    """A circuit breaker: closed, it lets every call through; open, one a second.

    What counts are incidents, not calls. One late reply or one lost connection fails every call
    in flight, and would open the breaker for everybody if each of them counted; so calls that were
    asked before an incident was known belong to that incident. The breaker opens

    - after five incidents without a success between them, or
    - when half of the calls of the last second failed, in five incidents or more,

    and closes on the first success of a call that was asked while it was open. Moments are
    milliseconds of a clock that never goes backwards.
    """

    def __init__(self) -> None:
        self._incidents = 0  # ever
        self._incidents_in_a_row = 0
        self._recent = RecentCalls()
        self._opened_by = 0  # the number of the incident; calls asked before it are no probes
        self._next_probe_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are being held back."""
        return self._next_probe_ms is not None

    def ask(self, now_ms: int) -> int | None:
        """Return a ticket for one call, None if no call may be made now.

        While open, a ticket is this second's only one. How the call went is told with the ticket;
        a call of which nothing is told changes nothing.
        """
        if self._next_probe_ms is not None:
            if now_ms < self._next_probe_ms:
                return None
            self._next_probe_ms = now_ms + PROBE_INTERVAL_MS
        return self._incidents  # those that were known when the call was made

    def succeeded(self, ticket: int, now_ms: int) -> None:
        """Note that a call was answered."""
        if not self.is_open:
            self._incidents_in_a_row = 0
            self._recent.succeeded(now_ms)
        elif ticket >= self._opened_by:
            self._incidents_in_a_row = 0
            self._next_probe_ms = None

    def failed(self, ticket: int, now_ms: int) -> None:
        """Note that a call was not answered. While open, this does not delay the next probe."""
        is_new = ticket == self._incidents
        self._incidents += is_new
        if self.is_open:
            return
        self._incidents_in_a_row += is_new
        self._recent.failed(now_ms, new_incident=is_new)
        if self._is_failing(now_ms):
            self._opened_by = self._incidents
            self._next_probe_ms = now_ms + PROBE_INTERVAL_MS

    def _is_failing(self, now_ms: int) -> bool:
        return self._incidents_in_a_row >= INCIDENTS_TO_OPEN or self._recent.half_failed(
            now_ms, least_incidents=INCIDENTS_TO_OPEN
        )
