"""A circuit breaker for each part of a store. No I/O."""

from typing import Final

from authz_service.storage.breaker import Breaker

_FORGOTTEN_MS: Final = 3_000
"""A part that nobody asked for so long is gone: its node has left the cluster, or all is quiet."""


class Breakers:
    """One node of a cluster that fails must not keep calls from the others.

    Moments are milliseconds of a clock that never goes backwards.
    """

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = {}
        self._asked_ms: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether calls to any part are being held back."""
        return any(breaker.is_open for breaker in self._breakers.values())

    @property
    def open_count(self) -> int:
        """To how many parts calls are being held back."""
        return sum(breaker.is_open for breaker in self._breakers.values())

    def of(self, part: str, now_ms: int) -> Breaker:
        """The breaker of a part; a new one where nothing is known of it."""
        self._asked_ms[part] = now_ms
        breaker = self._breakers.get(part)
        if breaker is None:
            self.forget_gone(now_ms)
            breaker = self._breakers[part] = Breaker()
        return breaker

    def forget_gone(self, now_ms: int) -> None:
        """Drop what is known of parts that nobody asks any more."""
        for part, asked_ms in list(self._asked_ms.items()):
            if now_ms >= asked_ms + _FORGOTTEN_MS:
                del self._asked_ms[part]
                self._breakers.pop(part, None)
