"""Works through the queue: one sandbox a slot, a bound on what waits, every outcome recorded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image_service.clock import Clock
from image_service.core.bounds import ImageRefusedError, ResultRefusedError
from image_service.errors import QueueFullError
from image_service.jobs import Job, JobError, JobErrorCode, JobStatus
from image_service.metrics import JOB_TYPE, Metrics
from image_service.observe import ctx_logger, request_context
from image_service.sandbox import Sandbox
from image_service.storage.base import JobStore, ResultStore

_OUR_FAULT: Final = "The image could not be processed."


class _GoneError(Exception):
    """The job was cancelled or forgotten while it ran."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A queued job and the file it is about."""

    job: Job
    source: Path


class Worker:
    """Runs jobs off the event loop. `run` is its life; somebody must own that."""

    def __init__(
        self,
        sandboxes: Sequence[Sandbox],
        *,
        jobs: JobStore,
        results: ResultStore,
        clock: Clock,
        metrics: Metrics,
        queue_limit: int,
    ) -> None:
        self._sandboxes = tuple(sandboxes)
        self._jobs = jobs
        self._results = results
        self._clock = clock
        self._metrics = metrics
        self._queue: asyncio.Queue[_Ticket] = asyncio.Queue(queue_limit)
        self._at_work: dict[str, Sandbox] = {}

    @property
    def has_room(self) -> bool:
        """Whether another job may wait."""
        return not self._queue.full()

    @property
    def waiting(self) -> int:
        """How many jobs wait, those cancelled meanwhile included."""
        return self._queue.qsize()

    @property
    def running(self) -> int:
        """How many jobs are worked on."""
        return len(self._at_work)

    def submit(self, job: Job, source: Path) -> None:
        """Queue a job; the worker removes `source` when it is done with it.

        Raises:
            QueueFullError: as many wait as may.
        """
        try:
            self._queue.put_nowait(_Ticket(job, source))
        except asyncio.QueueFull as error:
            raise QueueFullError from error

    def cancel(self, job_id: str) -> None:
        """Stop working on a job that was cancelled in the store."""
        sandbox = self._at_work.get(job_id)
        if sandbox is not None:
            sandbox.kill()

    async def idle(self) -> None:
        """Return when nothing waits and nothing runs."""
        await self._queue.join()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as slots:
            for sandbox in self._sandboxes:
                slots.create_task(self._serve(sandbox))

    async def _serve(self, sandbox: Sandbox) -> None:
        while True:
            ticket = await self._queue.get()
            try:
                with request_context(ticket.job.request_id):
                    await self._attend(ticket, sandbox)
            finally:
                await asyncio.to_thread(ticket.source.unlink, missing_ok=True)
                self._queue.task_done()

    async def _attend(self, ticket: _Ticket, sandbox: Sandbox) -> None:
        now_ms = self._clock.now_ms()
        job = await self._jobs.get(ticket.job.subject, ticket.job.job_id, now_ms=now_ms)
        if job is None or job.status is not JobStatus.QUEUED:
            return
        run = _Run(job.started(now_ms), jobs=self._jobs)
        if not await self._jobs.update(run.job):
            return
        self._at_work[job.job_id] = sandbox
        try:
            final = await self._outcome(run, ticket.source, sandbox)
        except _GoneError:
            return
        finally:
            del self._at_work[job.job_id]
        await self._settle(final)

    async def _outcome(self, run: "_Run", source: Path, sandbox: Sandbox) -> Job:
        target = source.with_suffix(".out")
        spec = run.job.spec
        try:
            await sandbox.transform(source, target, spec, run.report)
            result = await self._results.keep(run.job.job_id, target, spec.format.media_type)
            return run.job.succeeded(result, self._clock.now_ms())
        except ImageRefusedError as refusal:
            return self._failed(run, JobErrorCode.INVALID_IMAGE, str(refusal))
        except ResultRefusedError as refusal:
            return self._failed(run, JobErrorCode.VALIDATION_ERROR, str(refusal))
        except _GoneError:
            raise
        except Exception as error:
            # One job's trouble, a full disk included, must not stop the others.
            if await run.is_gone():
                raise _GoneError from error
            ctx_logger.exception("Job broke", job_id=run.job.job_id)
            return self._failed(run, JobErrorCode.INTERNAL_ERROR, _OUR_FAULT)
        finally:
            await asyncio.to_thread(target.unlink, missing_ok=True)

    def _failed(self, run: "_Run", code: JobErrorCode, message: str) -> Job:
        return run.job.failed(JobError(code, message), self._clock.now_ms())

    async def _settle(self, final: Job) -> None:
        if not await self._jobs.update(final):
            await self._results.delete(final.job_id)
            return
        duration_ms = (final.finished_ms or 0) - (final.started_ms or 0)
        self._metrics.job_completed(
            JOB_TYPE,
            "success" if final.status is JobStatus.SUCCEEDED else "failure",
            duration=max(duration_ms, 0) / 1000,  # the clock may have been set back
        )
        ctx_logger.info(
            "Job finished",
            job_id=final.job_id,
            status=final.status.value,
            duration_ms=duration_ms,
        )


class _Run:
    """A job while it runs: the latest revision, kept up to date in the store."""

    def __init__(self, job: Job, *, jobs: JobStore) -> None:
        self.job = job
        self._jobs = jobs

    async def report(self, progress: int) -> None:
        advanced = self.job.progressed(progress)
        if not await self._jobs.update(advanced):
            raise _GoneError
        self.job = advanced

    async def is_gone(self) -> bool:
        try:
            await self.report(self.job.progress)
        except _GoneError:
            return True
        return False
