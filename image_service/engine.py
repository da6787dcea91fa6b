"""The order of things: claim, receive, inspect, keep, queue; and what becomes of a job after.

The only module of the API that knows stores, queue and sandbox together. No HTTP in here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from image_service.clock import Clock
from image_service.core.bounds import ImageFacts, ImageRefusedError
from image_service.core.spec import (
    FieldProblem,
    FieldsRefusedError,
    TransformSpec,
    parse_fields,
    resolve,
)
from image_service.errors import (
    ClaimLostError,
    ConflictException,
    DecoderError,
    FilesError,
    InvalidImageException,
    JobNotFoundException,
    QueueFullError,
    ServiceUnavailableException,
    StoreError,
    StoreFullError,
    ValidationException,
)
from image_service.jobs import IdempotencyKey, Job
from image_service.metrics import JOB_TYPE, Metrics
from image_service.observe import ctx_logger
from image_service.queue import Queue
from image_service.readiness import Readiness
from image_service.sandbox import Sandbox
from image_service.storage.base import Claim, FileStore, JobStore
from image_service.tracing import Tracing
from image_service.upload import Upload
from image_service.waiting import race

_RETRY_SOON_S: Final = 5
_INSPECTION_TURN_S: Final = 15.0
_HOLD_EVERY_S: Final = 8.0
_STILL_ARRIVING: Final = "A request with this idempotency key is still being received."

Receive = Callable[[Path], Awaitable[Upload]]
"""Reads the client's form, spooling its file to the path."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants an upscale, and under which names."""

    subject: str
    request_id: str
    idempotency_key: str | None


class Engine:
    """Everything that can be done with jobs."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        files: FileStore,
        queue: Queue,
        inspector: Sandbox,
        readiness: Readiness,
        metrics: Metrics,
        tracing: Tracing,
        clock: Clock,
        new_job_id: Callable[[], str],
        spool: Path,
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._queue = queue
        self._inspector = inspector
        self._readiness = readiness
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._new_job_id = new_job_id
        self._spool = spool

    async def submit(self, order: Order, receive: Receive) -> Job:
        """Make a job of a form, or find the one that the same request made before.

        Raises:
            ApiException: the form, its image or the moment does not allow it.
            StoreError, FilesError: a store failed; there is no job.
        """
        if self._readiness.draining:
            raise ServiceUnavailableException(retry_after_s=_RETRY_SOON_S)
        job_id = self._new_job_id()
        try:
            if order.idempotency_key is None:
                return await self._make(order, job_id, receive)
            return await self._make_once(order, order.idempotency_key, job_id, receive)
        except (QueueFullError, StoreFullError) as error:
            raise ServiceUnavailableException(retry_after_s=_RETRY_SOON_S) from error

    async def find(self, subject: str, job_id: str) -> Job:
        """The subject's job.

        Raises:
            JobNotFoundException: there is none.
        """
        job = await self._jobs.get(subject, job_id, now_ms=self._clock.now_ms())
        if job is None:
            raise JobNotFoundException(job_id=job_id)
        return job

    async def settled(self, job: Job, *, timeout_s: float) -> Job:
        """The job once it is final, or as it stands when the time is up or the process ends.

        Raises:
            JobNotFoundException: it was deleted meanwhile.
        """
        settling, _ = await race(self._settled(job, timeout_s), self._readiness.last_call())
        return job if settling.cancelled() else settling.result()

    async def _settled(self, job: Job, timeout_s: float) -> Job:
        now_ms = self._clock.now_ms()
        try:
            settled = await self._jobs.settled(
                job.subject, job.job_id, now_ms=now_ms, timeout_s=timeout_s
            )
        except StoreError as error:
            # The job exists all the same, and its owner is told where.
            ctx_logger.warning("No news of a job", job_id=job.job_id, reason=str(error))
            return job
        if settled is None:
            raise JobNotFoundException(job_id=job.job_id)
        return settled

    async def discard(self, subject: str, job_id: str) -> None:
        """Cancel a job that is not final, forget one that is.

        Raises:
            JobNotFoundException: there is none.
        """
        # Another round is needed only when the job moved on under our hands: it ends with it.
        while not (job := await self.find(subject, job_id)).status.is_final:
            # The worker that has it sees the new revision and stops.
            if await self._jobs.update(job.cancelled(self._clock.now_ms())):
                self._metrics.job_completed(JOB_TYPE, "cancelled")
                ctx_logger.info("Job cancelled", job_id=job_id)
                await self._forget_files(job_id)
                return
        await self._jobs.delete(subject, job_id)
        await self._forget_files(job_id)

    async def _forget_files(self, job_id: str) -> None:
        """Forget files whose job says already that they are not wanted."""
        try:
            await self._files.forget(job_id)
        except FilesError as error:
            # They go when the job expires, or as strays.
            ctx_logger.warning("Files stay behind", job_id=job_id, reason=str(error))

    async def _make_once(self, order: Order, key: str, job_id: str, receive: Receive) -> Job:
        try:
            claim = await self._jobs.claim(order.subject, key, job_id, now_ms=self._clock.now_ms())
            if claim.job_id != job_id:
                return await self._repeat(order, claim, job_id, receive)
            async with self._claim_held(order.subject, key, job_id):
                return await self._make(order, job_id, receive)
        except ClaimLostError as error:
            raise ConflictException(_STILL_ARRIVING) from error
        except BaseException:
            # Cancellation included: a request that came to nothing may be sent again. Another's
            # claim stays, and ours goes though its answer was not heard.
            await self._release(order.subject, key, job_id)
            raise

    @asynccontextmanager
    async def _claim_held(self, subject: str, key: str, job_id: str) -> AsyncIterator[None]:
        """Go on claiming a key while its request lasts; a claim outlives a lost process briefly."""
        holding = asyncio.create_task(self._hold_claim(subject, key, job_id))
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _hold_claim(self, subject: str, key: str, job_id: str) -> None:
        while True:
            await asyncio.sleep(_HOLD_EVERY_S)
            # Should the claim lapse for want of an answer, its job is not made.
            with suppress(StoreError):
                await self._jobs.claim(subject, key, job_id, now_ms=self._clock.now_ms())

    async def _release(self, subject: str, key: str, job_id: str) -> None:
        try:
            await self._jobs.release(subject, key, job_id)
        except StoreError as error:
            # The claim lapses by itself; what went wrong before is the answer.
            ctx_logger.warning("Idempotency key not released", reason=str(error))

    async def _repeat(self, order: Order, claim: Claim, job_id: str, receive: Receive) -> Job:
        if claim.fingerprint is None:
            raise ConflictException(_STILL_ARRIVING)
        async with self._received(job_id, receive) as upload:
            if upload.fingerprint != claim.fingerprint:
                problem = FieldProblem("Idempotency-Key", "was used for a different request")
                raise ValidationException([problem])
            return await self.find(order.subject, claim.job_id)

    async def _make(self, order: Order, job_id: str, receive: Receive) -> Job:
        if not await self._jobs.has_room():
            raise ServiceUnavailableException(retry_after_s=_RETRY_SOON_S)
        async with self._received(job_id, receive) as upload:
            spec = await self._judge(upload)
            job = self._job(order, job_id, spec, upload)
            await self._keep(job, upload)
        self._metrics.job_created(JOB_TYPE)
        ctx_logger.info("Job created", job_id=job_id, size=upload.size, scale=spec.scale)
        await self._wake_workers(job)
        return job

    async def _keep(self, job: Job, upload: Upload) -> None:
        """Keep upload and job, in this order: a job without its upload could only fail."""
        try:
            await self._files.keep_upload(job.job_id, upload.path)
            await self._jobs.create(job, now_ms=self._clock.now_ms())
        except BaseException:
            # Cancellation included. An answer that was not heard may have been a yes.
            await self._undo(job)
            raise

    async def _undo(self, job: Job) -> None:
        """Forget a job that may have been made, though nobody will be told of it."""
        try:
            await self._jobs.delete(job.subject, job.job_id)
        except StoreError as error:
            # Upkeep has the job done or its upload forgotten, whichever there is.
            ctx_logger.warning("Job not undone", job_id=job.job_id, reason=str(error))
            return
        await self._forget_files(job.job_id)

    async def _wake_workers(self, job: Job) -> None:
        """Put the job into the queue. It exists already: what fails here upkeep makes good."""
        try:
            await self._queue.put(job)
        except StoreError as error:
            ctx_logger.warning("Job not queued yet", job_id=job.job_id, reason=str(error))

    def _job(self, order: Order, job_id: str, spec: TransformSpec, upload: Upload) -> Job:
        key = order.idempotency_key
        return Job(
            job_id=job_id,
            subject=order.subject,
            spec=spec,
            request_id=order.request_id,
            created_ms=self._clock.now_ms(),
            idempotency=None if key is None else IdempotencyKey(key, upload.fingerprint),
            trace=self._tracing.current,
        )

    async def _judge(self, upload: Upload) -> TransformSpec:
        try:
            wishes = parse_fields(upload.fields, known_problems=upload.problems)
            return resolve(wishes, await self._inspected(upload.path))
        except FieldsRefusedError as refused:
            raise ValidationException(refused.problems) from refused

    async def _inspected(self, path: Path) -> ImageFacts:
        try:
            async with asyncio.timeout(_INSPECTION_TURN_S):
                return await self._inspector.inspect(path)
        except ImageRefusedError as refusal:
            raise InvalidImageException(str(refusal)) from refusal
        except DecoderError as error:
            # A file that kills or stalls a decoder is not an image we take, whatever else it is.
            ctx_logger.warning("Decoder lost to an upload", reason=str(error))
            raise InvalidImageException("The image could not be read.") from error
        except TimeoutError as error:
            raise ServiceUnavailableException(retry_after_s=_RETRY_SOON_S) from error

    @asynccontextmanager
    async def _received(self, job_id: str, receive: Receive) -> AsyncIterator[Upload]:
        """Spool the form's file for as long as it is looked at."""
        path = self._spool / f"{job_id}.upload"
        try:
            upload = await receive(path)
            if upload.digest:
                self._metrics.file_uploaded(JOB_TYPE, size_bytes=upload.size)
            yield upload
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
