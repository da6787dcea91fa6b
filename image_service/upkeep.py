"""What has to be done again and again, whoever's jobs it is about. Every worker process does it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from image_service.clock import Clock
from image_service.errors import FilesError, StoreError
from image_service.observe import ctx_logger, request_context
from image_service.queue import Deliveries
from image_service.storage.base import FileStore, JobStore

UNHEARD_MS: Final = 5_000
"""A job that the queue does not know after so long was never put into it, or lost by it."""

STRAY_MS: Final = 60 * 60 * 1000
"""A request is over long before: files of no job that are as old belong to nobody."""

# Workers may be replaced more often than a duty has its turn.
_FIRST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Duty:
    name: str
    every_s: float
    within_s: float
    do: Callable[[], Awaitable[object]]


class Upkeep:
    """Everything that heals and everything that is forgotten. `run` is its life."""

    def __init__(
        self, *, jobs: JobStore, files: FileStore, queue: Deliveries, clock: Clock
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._queue = queue
        self._clock = clock

    async def run(self) -> None:
        """Do each duty in its turn, until cancelled."""
        duties = (
            _Duty("sweep", 5, 10, self.sweep),
            _Duty("put again", 5, 10, self.put_again),
            _Duty("expire", 60, 300, self.expire),
            _Duty("forget strays", 3600, 1800, self.forget_strays),
        )
        async with asyncio.TaskGroup() as owner:
            for duty in duties:
                owner.create_task(_repeat(duty))

    async def sweep(self) -> None:
        """Hand out anew what lost workers had."""
        for job_id in await self._queue.sweep():
            ctx_logger.warning("Job of a lost worker put back", job_id=job_id)

    async def put_again(self) -> None:
        """Put unfinished jobs into the queue that it does not know.

        An API process may end between making a job and putting it, and a queue may lose data.
        """
        before_ms = self._clock.now_ms() - UNHEARD_MS
        for job in await self._jobs.unfinished(created_before_ms=before_ms):
            if await self._queue.put(job):
                with request_context(job.request_id):
                    ctx_logger.warning("Job put into the queue again", job_id=job.job_id)

    async def expire(self) -> None:
        """Forget what has been kept long enough."""
        failure: FilesError | None = None
        for job in await self._jobs.expire(now_ms=self._clock.now_ms()):
            try:
                await self._files.forget(job.job_id)
            except FilesError as error:
                # Nobody is told of these jobs again: what stays now goes as strays.
                failure = error
        if failure is not None:
            raise failure

    async def forget_strays(self) -> None:
        """Forget the files of what is no job: their process ended at the wrong moment."""
        before_ms = self._clock.now_ms() - STRAY_MS
        forgotten = await self._files.forget_strays(self._jobs.known, written_before_ms=before_ms)
        if forgotten:
            ctx_logger.warning("Files of no job forgotten", jobs=forgotten)


async def _repeat(duty: _Duty) -> None:
    failed = False
    pause_s = min(duty.every_s, _FIRST_S)
    while True:
        await asyncio.sleep(pause_s)
        pause_s = duty.every_s
        try:
            async with asyncio.timeout(duty.within_s):
                await duty.do()
        except (StoreError, FilesError, OSError) as error:
            # Said once: during an outage every turn would say the same.
            if not failed:
                ctx_logger.error("Upkeep failed", duty=duty.name, reason=str(error))
            failed = True
        except Exception:  # noqa: BLE001 - a defect in one duty must not end the others
            if not failed:
                ctx_logger.exception("Upkeep broke", duty=duty.name)
            failed = True
        else:
            if failed:
                ctx_logger.info("Upkeep works again", duty=duty.name)
            failed = False
