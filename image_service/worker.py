"""Takes jobs from the queue: one sandbox a slot, every outcome recorded, nothing lost at the end.

The job store says what is to be done; the queue only says that there may be something.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from image_service.attempt import (
    OUR_FAULT,
    Attempt,
    Ending,
    GoneError,
    Run,
    TryAgainError,
    ended,
    patiently,
)
from image_service.clock import Clock
from image_service.errors import FilesError, StoreError, UnreadableError
from image_service.jobs import MAX_ATTEMPTS, Job, JobStatus, Result
from image_service.metrics import JOB_TYPE, Metrics
from image_service.observe import ctx_logger, request_context
from image_service.queue import Deliveries, Delivery
from image_service.sandbox import Sandbox
from image_service.storage.base import FileStore, JobStore
from image_service.tracing import Tracing
from image_service.waiting import in_time, race

LOOK_EVERY_S: Final = 0.5
"""How long a cancelled job is worked on at most, and how old the progress is that clients see."""

_LOOKS_A_RENEWAL: Final = 4
_TAKE_S: Final = 1.0
_HAND_BACK_S: Final = 3.0
# Between attempts: the first may be bad luck, the second gives a store of files time to come back.
# Whoever waits keeps a slot, but while that store is away no other job could be worked on either.
PAUSES_S: Final = (5.0, 300.0)

_Outcome = TypeVar("_Outcome")


class _StoppedError(Exception):
    """The worker stops, and somebody else is to have the job."""


class Worker:
    """Runs jobs off the event loop. `run` is its life; somebody must own that."""

    def __init__(
        self,
        sandboxes: Sequence[Sandbox],
        *,
        queue: Deliveries,
        jobs: JobStore,
        files: FileStore,
        clock: Clock,
        metrics: Metrics,
        tracing: Tracing,
        folder: Path,
    ) -> None:
        self._sandboxes = tuple(sandboxes)
        self._queue = queue
        self._jobs = jobs
        self._files = files
        self._clock = clock
        self._metrics = metrics
        self._tracing = tracing
        self._folder = folder
        self._running = 0
        self._queue_is_lost = False
        self._closing = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def running(self) -> int:
        """How many jobs are worked on."""
        return self._running

    async def run(self) -> None:
        """Work until `drain`."""
        try:
            async with asyncio.TaskGroup() as slots:
                for sandbox in self._sandboxes:
                    slots.create_task(self._serve(sandbox))
        finally:
            self._ended.set()

    async def drain(self, *, within_s: float) -> None:
        """Take no more; finish what is in hand, and hand back what lasts longer than that."""
        self._closing.set()
        if await in_time(self._ended.wait(), within_s):
            return
        ctx_logger.warning("Drain time is over; jobs in hand are handed back", jobs=self._running)
        self._stopping.set()
        await in_time(self._ended.wait(), _HAND_BACK_S + 1)

    async def _serve(self, sandbox: Sandbox) -> None:
        while not self._closing.is_set():
            delivery = await self._taken()
            if delivery is not None:
                with request_context(delivery.request_id):
                    await self._attend(delivery, sandbox)

    async def _taken(self) -> Delivery | None:
        try:
            delivery = await self._queue.take(timeout_s=_TAKE_S)
        except StoreError as error:
            if not self._queue_is_lost:
                ctx_logger.error("No jobs are taken", reason=str(error))
            self._queue_is_lost = True
            await in_time(self._closing.wait(), _TAKE_S)
            return None
        if self._queue_is_lost:
            ctx_logger.info("Jobs are taken again")
            self._queue_is_lost = False
        return delivery

    async def _attend(self, delivery: Delivery, sandbox: Sandbox) -> None:
        """Do whatever the delivery asks for. What fails here is handed out anew by the sweep."""
        self._running += 1
        try:
            job = await patiently(lambda: self._found(delivery))
            if job is not None and not job.status.is_final:
                with self._tracing.continued("job", job.trace, kind="job"):
                    await self._carry_through(Run(job, jobs=self._jobs), delivery, sandbox)
            await patiently(lambda: self._queue.done(delivery))
        except StoreError as error:
            ctx_logger.error("Job left behind", job_id=delivery.job_id, reason=str(error))
        except Exception:  # noqa: BLE001 - one job's trouble must not stop the others
            ctx_logger.exception("Delivery broke", job_id=delivery.job_id)
        finally:
            self._running -= 1

    async def _found(self, delivery: Delivery) -> Job | None:
        now_ms = self._clock.now_ms()
        try:
            return await self._jobs.get(delivery.subject, delivery.job_id, now_ms=now_ms)
        except UnreadableError as error:
            # It leaves the queue. Upkeep of whoever can read it puts it there again.
            ctx_logger.error("Job cannot be read", job_id=delivery.job_id, reason=str(error))
            return None

    async def _carry_through(self, run: Run, delivery: Delivery, sandbox: Sandbox) -> None:
        try:
            ending = await self._ending(run, delivery, sandbox)
            await self._settle(run, ending)
        except GoneError:
            ctx_logger.info("Job is no longer ours", job_id=run.job.job_id)
        except _StoppedError:
            await self._hand_back(run, delivery)

    async def _ending(self, run: Run, delivery: Delivery, sandbox: Sandbox) -> Ending:
        """How the job ends, after as many attempts as it may have."""
        while run.job.attempts < MAX_ATTEMPTS:
            await run.move(lambda job: job.started(self._clock.now_ms()))
            run.progress = 0
            try:
                return await _kept_up(self._attempt(run, sandbox), self._keep_up(run, delivery))
            except TryAgainError as error:
                ctx_logger.warning(
                    "Attempt failed",
                    job_id=run.job.job_id,
                    attempt=run.job.attempts,
                    reason=str(error),
                )
            if run.job.attempts < MAX_ATTEMPTS:
                pause = asyncio.sleep(PAUSES_S[run.job.attempts - 1])
                await _kept_up(pause, self._keep_up(run, delivery))
        return OUR_FAULT

    async def _attempt(self, run: Run, sandbox: Sandbox) -> Ending:
        attempt = Attempt(
            run,
            sandbox=sandbox,
            files=self._files,
            tracing=self._tracing,
            folder=self._folder,
        )
        with self._tracing.span("attempt"):
            self._tracing.tell({"job.id": run.job.job_id, "job.attempt": run.job.attempts})
            return await attempt.outcome()

    async def _keep_up(self, run: Run, delivery: Delivery) -> NoReturn:
        """While a job is worked on: renew its delivery, show its progress, see whether it is over.

        Raises:
            GoneError: the job is not ours any more.
            _StoppedError: the worker stops.
        """
        looks, said = 0, False
        while not await in_time(self._stopping.wait(), LOOK_EVERY_S):
            looks += 1
            try:
                await run.look()
                # Overdue after an outage, it comes first: before a sweep takes the job for lost.
                if looks >= _LOOKS_A_RENEWAL:
                    await self._queue.renew(delivery)
                    looks = 0
            except StoreError as error:
                # The work goes on without the store: it may be back before the end.
                if not said:
                    ctx_logger.warning("No news of a job", job_id=run.job.job_id, reason=str(error))
                said = True
        raise _StoppedError

    async def _settle(self, run: Run, ending: Ending) -> None:
        try:
            await run.move(ended(ending, self._clock))
        except GoneError:
            if isinstance(ending, Result):
                await self._drop(self._files.drop_result(ending), run.job)
            raise
        job = run.job
        duration_ms = max((job.finished_ms or 0) - (job.started_ms or 0), 0)  # clocks step back
        self._metrics.job_completed(
            JOB_TYPE,
            "success" if job.status is JobStatus.SUCCEEDED else "failure",
            duration=duration_ms / 1000,
        )
        ctx_logger.info(
            "Job finished", job_id=job.job_id, status=job.status.value, duration_ms=duration_ms
        )
        await self._drop(self._files.drop_upload(job.job_id), job)

    async def _drop(self, dropping: Coroutine[object, object, None], job: Job) -> None:
        try:
            await dropping
        except (FilesError, OSError) as error:
            # It goes with the job at the latest.
            ctx_logger.warning("A file stays behind", job_id=job.job_id, reason=str(error))

    async def _hand_back(self, run: Run, delivery: Delivery) -> None:
        """Another worker begins anew. Where that cannot be said, the sweep finds out."""
        try:
            async with asyncio.timeout(_HAND_BACK_S):
                await run.move(Job.handed_back)
                await self._queue.again(delivery)
        except (GoneError, TimeoutError) as error:
            ctx_logger.warning("Job not handed back", job_id=run.job.job_id, reason=repr(error))
        else:
            ctx_logger.info("Job handed back", job_id=run.job.job_id)


async def _kept_up(
    work: Coroutine[object, object, _Outcome], keeping: Coroutine[object, object, NoReturn]
) -> _Outcome:
    """What the work comes to, or why it was broken off by what goes on beside it."""
    working, keeper = await race(work, keeping)
    return keeper.result() if working.cancelled() else working.result()
