"""The worker processes: started together, restarted one by one, stopped together."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

import structlog

from authz_service.clock import Clock
from authz_service.errors import StackError
from authz_service.supervise.process import Part, RunningPart, start
from authz_service.supervise.restarts import MAX_DEATHS, WITHIN_MS, Restarts

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 30.0
_LOOK_INTERVAL_S = 1.0
# A worker that answers no health check for so many looks hangs, and is worth no more waiting.
_MAX_MISSED_LOOKS = 5
# How a worker ends that finds its files wrong, and when it may look at them again.
_CONFIGURATION_REFUSED = 2
_CONFIGURATION_RETRY_MS = 3_000


class Cause(StrEnum):
    """Why a worker is started anew."""

    DIED = "died"  # it ended, or somebody else ended it
    HUNG = "hung"  # it did not begin, or answered no longer, and was killed for that


class Workers:
    """Keeps every worker running.

    `make` says how one is started, `answers` whether one is there at all, draining or not; `died`
    is told the number and the process id of each that ended, `restarted` why one is started anew.
    """

    def __init__(
        self,
        make: Callable[[int], Part],
        *,
        count: int,
        clock: Clock,
        answers: Callable[[int], Awaitable[bool]],
        died: Callable[[int, int], None],
        restarted: Callable[[Cause], None],
    ) -> None:
        self._make = make
        self._answers = answers
        self._clock = clock
        self._died = died
        self._restarted = restarted
        self._restarts = Restarts()
        self._running: list[RunningPart | None] = [None] * count
        self._answering: set[int] = set()
        self._hung: set[int] = set()
        self._has_served = False

    @property
    def serving(self) -> dict[int, int]:
        """The process id of each worker that has begun to serve and has not ended since."""
        return {
            index: part.pid
            for index, part in enumerate(self._running)
            if part is not None and index in self._answering
        }

    async def run(self) -> None:
        """Keep all workers running until cancelled.

        Raises:
            StackError: they die faster than it makes sense to start them.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for index in range(len(self._running)):
                    tasks.create_task(self._keep(index))
        except* StackError as group:
            raise group.exceptions[0] from None

    async def stop(self) -> None:
        """Ask every worker to drain and end, all at the same time."""
        parts = [part for part in self._running if part is not None]
        await asyncio.gather(*(part.stop() for part in parts))

    async def _keep(self, index: int) -> None:
        while True:
            part = await start(self._make(index))
            self._running[index] = part
            death = await self._death_of(part, index)
            self._running[index] = None
            self._answering.discard(index)
            self._died(index, part.pid)
            delay_ms = self._delay_ms(part, death)
            _log.error("worker died", worker=index, death=death, restart_in_ms=delay_ms)
            await asyncio.sleep(delay_ms / 1000)
            self._restarted(Cause.HUNG if index in self._hung else Cause.DIED)
            self._hung.discard(index)

    def _delay_ms(self, part: RunningPart, death: str) -> int:
        """How long a dead worker stays dead.

        Files that were good once and are wrong now must not end those workers that serve by the
        last good ones: a worker that cannot read them waits for better ones, however long.

        Raises:
            StackError: too many have died.
        """
        if self._has_served and part.exit_code == _CONFIGURATION_REFUSED:
            return _CONFIGURATION_RETRY_MS
        delay_ms = self._restarts.delay_ms(self._clock.monotonic_ms())
        if delay_ms is None:
            raise StackError(
                f"{MAX_DEATHS} workers died within {WITHIN_MS // 1000} s, the last one: {death}"
            )
        return delay_ms

    async def _death_of(self, part: RunningPart, index: int) -> str:
        """Wait for the end of a worker, and bring it about when it hangs."""
        looking = asyncio.create_task(self._look_after(part, index))
        try:
            await part.fail_when_dead()
        except StackError as death:
            return str(death)
        finally:
            looking.cancel()
        return "it ended"

    async def _look_after(self, part: RunningPart, index: int) -> None:
        """Ask the worker now and then whether it is there; kill it when it hangs."""
        with suppress(StackError):  # it died, or its start is too slow
            await part.until_ready(_START_TIMEOUT_S)
            self._answering.add(index)
            self._has_served = True
            await self._until_hung(index)
        self._answering.discard(index)
        if part.exit_code is not None:
            return
        _log.error("worker hangs", worker=index)
        self._hung.add(index)
        part.kill()

    async def _until_hung(self, index: int) -> None:
        missed = 0
        while missed < _MAX_MISSED_LOOKS:
            # Side by side: the time an answer may take is not added to the interval.
            answers, _ = await asyncio.gather(self._answers(index), asyncio.sleep(_LOOK_INTERVAL_S))
            missed = 0 if answers else missed + 1
