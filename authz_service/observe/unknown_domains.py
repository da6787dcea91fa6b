"""Questions for a domain that no descriptor file has: a typo that would limit nothing, unseen."""

from collections.abc import Callable
from typing import Final

import structlog

from authz_service.clock import Clock

_QUIET_MS: Final = 60_000
_LONGEST_NAME: Final = 200

_log = structlog.get_logger(__name__)


class UnknownDomains:
    """Counts all of them, and names one a minute in the log.

    Whoever asks chooses the name, so nothing is remembered by it.
    """

    def __init__(self, clock: Clock, *, counted: Callable[[], None]) -> None:
        self._clock = clock
        self._counted = counted
        self._quiet_until_ms: int | None = None

    def asked_for(self, domain: str) -> None:
        """One question for this domain was answered without a limit."""
        self._counted()
        now_ms = self._clock.monotonic_ms()
        if self._quiet_until_ms is not None and now_ms < self._quiet_until_ms:
            return
        self._quiet_until_ms = now_ms + _QUIET_MS
        _log.warning("no descriptor file has this domain", domain=domain[:_LONGEST_NAME])
