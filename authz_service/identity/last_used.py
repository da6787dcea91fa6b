"""When keys were last used: noted in memory by the checks, written from time to time."""

import asyncio
from typing import Final

from authz_service.errors import StoreError
from authz_service.identity.key_changes import UseLog
from authz_service.identity.store_keys import StoreKeys
from authz_service.observe.metrics import Metrics

_INTERVAL_S: Final = 10.0
_AT_ONCE: Final = 500  # packed and written in a millisecond or two: checks may come in between


class LastUsed:
    """Writes what is noted every ten seconds, and once more at the end.

    What cannot be written is dropped: the next use of the key says more than the one that is lost.
    """

    def __init__(
        self, log: UseLog, *, keys: StoreKeys, metrics: Metrics, interval_s: float = _INTERVAL_S
    ) -> None:
        self._log = log
        self._keys = keys
        self._metrics = metrics
        self._interval_s = interval_s

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                await self._write()
        finally:
            await self._write()
            await self._log.close()

    async def _write(self) -> None:
        uses = list(self._keys.take_uses().items())
        for start in range(0, len(uses), _AT_ONCE):
            part = {key: at for key, at in uses[start : start + _AT_ONCE] if self._keys.holds(key)}
            if not part:
                continue
            try:
                await self._log.note_used(part)
            except StoreError:
                self._metrics.uses_dropped(len(uses) - start)
                return
            await asyncio.sleep(0)
