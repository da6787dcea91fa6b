"""A job while a worker has it: its latest revision, what is done for it, and how that ends."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from image_service.clock import Clock
from image_service.core.bounds import ImageRefusedError, ResultRefusedError
from image_service.errors import DecoderError, FilesError, StoreError
from image_service.jobs import Job, JobError, JobErrorCode, Result
from image_service.observe import ctx_logger
from image_service.sandbox import Sandbox
from image_service.storage.base import FileStore, JobStore
from image_service.tracing import Tracing

OUR_FAULT: Final = JobError(JobErrorCode.INTERNAL_ERROR, "The image could not be processed.")

# A store that is started anew is back within seconds: what is at hand waits for it.
_PATIENCE_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)

_Answer = TypeVar("_Answer")
Step = Callable[[Job], Job]
Ending = Result | JobError


class GoneError(Exception):
    """The job was cancelled, forgotten or begun anew by another worker."""


class TryAgainError(Exception):
    """An attempt came to nothing for a reason that may pass; the message says which."""


class Run:
    """The job's latest revision. The store and we agree on it, or the job is gone.

    `progress` is how far the work is, in per cent; `look` tells the store.
    """

    def __init__(self, job: Job, *, jobs: JobStore) -> None:
        self.job = job
        self.progress = 0
        self._jobs = jobs
        self._unanswered: Job | None = None
        self._turn = asyncio.Lock()

    async def move(self, step: Step) -> None:
        """Take the job a step further, here and in the store.

        Raises:
            GoneError: somebody else moved it.
            StoreError: the store did not answer, though it was given time.
        """
        async with self._turn:
            await patiently(self._send)
            self._unanswered = step(self.job)
            await patiently(self._send)

    async def look(self) -> None:
        """Tell the store how far the work is, and find out whether it is still wanted.

        Raises:
            GoneError: it is not.
            StoreError: the store did not answer.
        """
        async with self._turn:
            await self._send()
            if self.job.status.is_final:
                return
            if self.progress > self.job.progress:
                self._unanswered = self.job.progressed(self.progress)
                await self._send()
                return
            kept = await self._jobs.get(
                self.job.subject, self.job.job_id, now_ms=self.job.created_ms
            )
            if kept is None or kept.revision != self.job.revision:
                raise GoneError

    async def _send(self) -> None:
        """Have the store take the step that it may or may not have heard of."""
        if self._unanswered is None:
            return
        if not await self._jobs.update(self._unanswered):
            raise GoneError
        self.job, self._unanswered = self._unanswered, None


class Attempt:
    """Fetch, enlarge, keep: everything about one attempt but its place in the store of jobs."""

    def __init__(
        self, run: Run, *, sandbox: Sandbox, files: FileStore, tracing: Tracing, folder: Path
    ) -> None:
        self._run = run
        self._sandbox = sandbox
        self._files = files
        self._tracing = tracing
        stem = f"{run.job.job_id}.{run.job.attempts}"
        self._source, self._target = folder / f"{stem}.upload", folder / f"{stem}.out"

    async def outcome(self) -> Ending:
        """The kept result, or why there will never be one.

        Raises:
            TryAgainError: a store or a disk failed.
        """
        try:
            return await self._result()
        except ImageRefusedError as refusal:
            return JobError(JobErrorCode.INVALID_IMAGE, str(refusal))
        except ResultRefusedError as refusal:
            return JobError(JobErrorCode.VALIDATION_ERROR, str(refusal))
        except (DecoderError, FileNotFoundError) as error:
            # Neither a file that kills its decoder nor one that is gone gets any better.
            ctx_logger.warning("Job broke", job_id=self._run.job.job_id, reason=str(error))
            return OUR_FAULT
        except (StoreError, FilesError, OSError) as error:
            raise TryAgainError(str(error) or type(error).__name__) from error
        except Exception:  # noqa: BLE001 - one job's trouble must not stop the others
            ctx_logger.exception("Job broke", job_id=self._run.job.job_id)
            return OUR_FAULT
        finally:
            await asyncio.to_thread(self._clean)

    async def _result(self) -> Result:
        job = self._run.job
        with self._tracing.span("fetch upload"):
            await self._files.fetch_upload(job.job_id, self._source)
        with self._tracing.span("transform"):
            await self._sandbox.transform(self._source, self._target, job.spec, self._report)
        with self._tracing.span("keep result"):
            return await self._files.keep_result(
                job.job_id, job.attempts, self._target, job.spec.format.media_type
            )

    async def _report(self, progress: int) -> None:
        self._run.progress = progress

    def _clean(self) -> None:
        self._source.unlink(missing_ok=True)
        self._target.unlink(missing_ok=True)


def ended(ending: Ending, clock: Clock) -> Step:
    """The last step of a job."""
    if isinstance(ending, JobError):
        return lambda job: job.failed(ending, clock.now_ms())
    return lambda job: job.succeeded(ending, clock.now_ms())


async def patiently(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Ask a store until it answers.

    Raises:
        StoreError: it was given time, and did not.
    """
    for pause_s in _PATIENCE_S:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(pause_s)
    return await call()
