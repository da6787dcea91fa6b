"""Follows a key store: everything once, then every change, and everything anew after a gap."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from authz_service.clock import Clock
from authz_service.errors import StoreError
from authz_service.identity.key_changes import KeyChanges, Mark, News
from authz_service.identity.store_keys import StoreKeys
from authz_service.observe.metrics import Metrics

_SHORTEST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_AT_ONCE: Final = 2_000  # ids looked at before a check may come in between: a millisecond
_RECORDS_TO_SPARE: Final = 5_000

_log = structlog.get_logger(__name__)


class _GapError(Exception):
    """The store has changed more often than it told."""


class KeyFeed:
    """Keeps `keys` the same as the store. `random` returns numbers in [0, 1).

    One reply is taken at a time and in the order in which the store gave them, so what is taken
    later is never older, other than the changes that a page of records has run ahead of.
    """

    def __init__(
        self,
        source: KeyChanges,
        *,
        keys: StoreKeys,
        clock: Clock,
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._keys = keys
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._pause_s = _SHORTEST_PAUSE_S
        self._is_lost = False
        self._has_loaded = False

    async def run(self) -> None:
        """Follow until cancelled."""
        self._metrics.key_store_lost()  # until it was read
        try:
            while True:
                try:
                    await self._follow(await self._load())
                except StoreError as error:
                    self._lost(error)
                except _GapError:
                    self._keys.fell_behind()
                    _log.warning("a change of the key store was missed; it is read anew")
                await self._pause()
        finally:
            await self._source.close()

    async def read_once(self) -> None:
        """Take everything that the store holds now, and follow nothing.

        Raises:
            StoreError: it did not answer, or changed faster than it could be read.
        """
        try:
            await self._load()
            self._confirm()
        except _GapError:
            raise StoreError("the key store changes faster than it can be read") from None
        finally:
            await self._source.close()

    async def _load(self) -> Mark:
        """Take every record, and the changes meanwhile."""
        mark = await self._source.mark()
        self._keys.begin_load(mark.generation)
        cursor, is_last, new = 0, False, 0
        while not is_last:
            page = await self._source.page(cursor, mark)
            for version in page.records:
                self._keys.take(version)
            mark = self._take(page.news, mark)
            cursor, is_last = page.cursor, page.cursor == 0
            new += len(page.records)
            if new >= _RECORDS_TO_SPARE and not self._has_loaded:
                _spare_collector()
                new = 0
            await asyncio.sleep(0)
        # Only now, so that nothing older than the last page comes after what is dropped.
        mark = await self._catch_up(mark)
        for key_ids in _parts(self._keys.held_before()):
            self._keys.drop_unseen(key_ids)
            await asyncio.sleep(0)
        self._keys.end_load()
        self._has_loaded = True
        self._metrics.key_store_loaded()
        return mark

    async def _follow(self, mark: Mark) -> None:
        """Take every change until there is an error or a gap."""
        while True:
            mark = await self._catch_up(mark)
            self._confirm()
            while (news := await self._source.wait(mark)).changes:
                mark = self._take(news, mark)
                self._confirm()

    async def _catch_up(self, mark: Mark) -> Mark:
        """Take what there is, and make sure that it is all."""
        while True:
            generation, news = await self._source.check(mark)
            mark = self._take(news, mark)
            if mark.generation == generation:
                return mark
            if not news.changes:
                raise _GapError
            await asyncio.sleep(0)

    def _take(self, news: News, mark: Mark) -> Mark:
        for expected, change in enumerate(news.changes, start=mark.generation + 1):
            if change.generation != expected:
                raise _GapError
            self._keys.take(change)
        return news.mark

    def _confirm(self) -> None:
        self._keys.confirm()
        self._metrics.key_store_read(
            keys=len(self._keys), problems=self._keys.problems, at_ms=self._clock.now_ms()
        )
        self._pause_s = _SHORTEST_PAUSE_S
        if self._is_lost:
            self._is_lost = False
            _log.info("the key store answers again")

    def _lost(self, error: StoreError) -> None:
        self._metrics.key_store_lost()
        if not self._is_lost:
            self._is_lost = True
            _log.error("the key store cannot be read", error=str(error))

    async def _pause(self) -> None:
        """Wait before the next attempt, longer each time, cut by a random part."""
        await asyncio.sleep(self._pause_s * (1 + self._random()) / 2)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


def _spare_collector() -> None:
    """Keep the garbage collector from looking at what is held, which stays.

    It would do so again and again while this grows, and every check would wait for it: 50 ms at
    100,000 records. Records hold no cycles: they go when they are let go. Whatever else lives at
    this moment and becomes a cycle later is never collected, so this is for the first load alone.
    """
    gc.collect(1)  # lest what is garbage already be kept as well
    gc.freeze()


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
