"""Whether new work is welcome, and how much of the old is still in hand."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Readiness:
    """The service's own account of itself. Draining is one-way."""

    def __init__(self) -> None:
        self._draining = False
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._last_call = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether the service is on its way out."""
        return self._draining

    @property
    def in_hand(self) -> int:
        """How many requests are being answered."""
        return self._in_flight

    def drain(self) -> None:
        """Take no more jobs; say so on `/readyz`."""
        self._draining = True

    def call_last(self) -> None:
        """Have those who only wait go with what they have."""
        self._last_call.set()

    async def last_call(self) -> None:
        """Return when waiting on is no use: the process ends soon."""
        await self._last_call.wait()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count one request as in hand."""
        self._in_flight += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._quiet.set()

    async def quiet(self) -> None:
        """Return when no request is in hand."""
        await self._quiet.wait()
