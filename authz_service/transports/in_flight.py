"""How many calls are being answered: a drain ends when there are none."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final

# The native server sends an answer a moment after its handler has returned it.
_LEAVING_SECONDS: Final = 0.05


class InFlight:
    """Counts calls: `with in_flight:` around each. Servicers of one server share it."""

    def __init__(self) -> None:
        self._number = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._number += 1
        self._idle.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._number -= 1
        if not self._number:
            self._idle.set()

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until nothing is being answered, at most `timeout_s`, and the answers have left."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        await asyncio.sleep(_LEAVING_SECONDS)
