"""A job as a value, and the moves it can make. Storing it is the business of `storage`."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from image_service.core.spec import TransformSpec
from image_service.core.trace import TraceContext

KEPT_MS: Final = 24 * 60 * 60 * 1000
"""How long a job, its result and its idempotency key are kept after it was created."""

MAX_ATTEMPTS: Final = 3
"""How often a job is begun: workers may die under it, and a store may fail."""


class JobStatus(StrEnum):
    """Where a job stands; the value is its name in the API."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class JobErrorCode(StrEnum):
    """Why a job failed; the value is the API's error code."""

    INVALID_IMAGE = "INVALID_IMAGE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    INTERNAL_ERROR = "INTERNAL_ERROR"


@dataclass(frozen=True, slots=True)
class JobError:
    """What a client is told about a failed job."""

    code: JobErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """A kept result. `location` means something only to the store that made it."""

    location: str
    size: int
    media_type: str
    etag: str


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The client's name for a request, and the digest of what that request asked for."""

    value: str
    fingerprint: str


class IllegalMoveError(Exception):
    """A job was asked to do what its status does not allow: a defect of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One upscale of one subject. Times are wall-clock milliseconds; progress is in per cent.

    Every move gives a new value with the next `revision`; a store accepts it only in the place
    of the revision before it. `trace` is the span that the job was made in, if requests are traced.
    """

    job_id: str
    subject: str
    spec: TransformSpec
    request_id: str
    created_ms: int
    status: JobStatus = JobStatus.QUEUED
    progress: int = 0
    attempts: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    error: JobError | None = None
    result: Result | None = None
    idempotency: IdempotencyKey | None = None
    trace: TraceContext | None = None
    revision: int = 0

    @property
    def expires_ms(self) -> int:
        """When the job is forgotten."""
        return self.created_ms + KEPT_MS

    def started(self, now_ms: int) -> Self:
        """Queued → running; or running → running anew, because its worker is lost."""
        self._require(JobStatus.QUEUED, JobStatus.RUNNING)
        return self._next(
            status=JobStatus.RUNNING, started_ms=now_ms, progress=0, attempts=self.attempts + 1
        )

    def handed_back(self) -> Self:
        """Running → queued: its worker stops. That attempt does not count."""
        self._require(JobStatus.RUNNING)
        return self._next(
            status=JobStatus.QUEUED, started_ms=None, progress=0, attempts=self.attempts - 1
        )

    def progressed(self, progress: int) -> Self:
        """Running, further on."""
        self._require(JobStatus.RUNNING)
        return self._next(progress=progress)

    def succeeded(self, result: Result, now_ms: int) -> Self:
        """Running → succeeded."""
        self._require(JobStatus.RUNNING)
        return self._next(
            status=JobStatus.SUCCEEDED, progress=100, result=result, finished_ms=now_ms
        )

    def failed(self, error: JobError, now_ms: int) -> Self:
        """Queued or running → failed."""
        self._require(JobStatus.QUEUED, JobStatus.RUNNING)
        return self._next(status=JobStatus.FAILED, error=error, finished_ms=now_ms)

    def cancelled(self, now_ms: int) -> Self:
        """Queued or running → cancelled."""
        self._require(JobStatus.QUEUED, JobStatus.RUNNING)
        return self._next(status=JobStatus.CANCELLED, finished_ms=now_ms)

    def _require(self, *allowed: JobStatus) -> None:
        if self.status not in allowed:
            raise IllegalMoveError(f"job {self.job_id} is {self.status}")

    def _next(self, **changes: object) -> Self:
        return replace(self, revision=self.revision + 1, **changes)  # type: ignore[arg-type]
