"""Questions for a domain that no descriptor file has: a typo that would limit nothing, unseen."""

from collections.abc import Callable
from typing import Final

import structlog

from authz_service.clock import Clock
from authz_service.observe.once_a_minute import OnceAMinute

_LONGEST_NAME: Final = 200

_log = structlog.get_logger(__name__)


class UnknownDomains:
    """Counts all of them, and names one a minute in the log.

    Whoever asks chooses the name, so nothing is remembered by it.
    """

    def __init__(self, clock: Clock, *, counted: Callable[[], None]) -> None:
        self._counted = counted
        self._telling = OnceAMinute(clock)

    def asked_for(self, domain: str) -> None:
        """One question for this domain was answered without a limit."""
        self._counted()
        if self._telling.is_due():
            _log.warning("no descriptor file has this domain", domain=domain[:_LONGEST_NAME])
