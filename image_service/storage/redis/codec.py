"""Jobs as JSON and back. What another hand wrote is believed only as far as it makes sense."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.core.trace import TraceContext, parse
from image_service.errors import UnreadableError
from image_service.jobs import (
    IdempotencyKey,
    Job,
    JobError,
    JobErrorCode,
    JobStatus,
    Result,
)

_FIELDS: Final = frozenset(
    {
        "job_id",
        "subject",
        "spec",
        "request_id",
        "created_ms",
        "status",
        "progress",
        "attempts",
        "started_ms",
        "finished_ms",
        "error",
        "result",
        "idempotency",
        "revision",
    }
)
# Only where requests are traced: what they all can read stays as it was.
_TRACE: Final = "trace"
_Enum = TypeVar("_Enum", bound=StrEnum)


def encode(job: Job) -> bytes:
    """The job's document. The same job gives the same bytes."""
    document: dict[str, object] = {
        "job_id": job.job_id,
        "subject": job.subject,
        "spec": {
            "scale": job.spec.scale,
            "format": job.spec.format.value,
            "quality": job.spec.quality,
            "keep_metadata": job.spec.keep_metadata,
        },
        "request_id": job.request_id,
        "created_ms": job.created_ms,
        "status": job.status.value,
        "progress": job.progress,
        "attempts": job.attempts,
        "started_ms": job.started_ms,
        "finished_ms": job.finished_ms,
        "error": _encoded_error(job.error),
        "result": _encoded_result(job.result),
        "idempotency": _encoded_key(job.idempotency),
        "revision": job.revision,
    }
    if job.trace is not None:
        document[_TRACE] = str(job.trace)
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def decode(document: bytes) -> Job:
    """The job of a document.

    Raises:
        UnreadableError: it is no document that `encode` writes.
    """
    try:
        return _job(json.loads(document.decode("ascii")))
    except (ValueError, RecursionError):
        raise UnreadableError("the job store holds a job that makes no sense") from None


def _encoded_error(error: JobError | None) -> Mapping[str, object] | None:
    return None if error is None else {"code": error.code.value, "message": error.message}


def _encoded_result(result: Result | None) -> Mapping[str, object] | None:
    if result is None:
        return None
    return {
        "location": result.location,
        "size": result.size,
        "media_type": result.media_type,
        "etag": result.etag,
    }


def _encoded_key(key: IdempotencyKey | None) -> Mapping[str, object] | None:
    return None if key is None else {"value": key.value, "fingerprint": key.fingerprint}


def _job(document: object) -> Job:
    traced = isinstance(document, dict) and _TRACE in document
    fields = _object(document, _FIELDS | {_TRACE} if traced else _FIELDS)
    job = Job(
        job_id=_text(fields["job_id"]),
        subject=_text(fields["subject"]),
        spec=_spec(fields["spec"]),
        request_id=_text(fields["request_id"]),
        created_ms=_count(fields["created_ms"]),
        status=_one_of(JobStatus, fields["status"]),
        progress=_count(fields["progress"]),
        attempts=_count(fields["attempts"]),
        started_ms=_moment(fields["started_ms"]),
        finished_ms=_moment(fields["finished_ms"]),
        error=_error(fields["error"]),
        result=_result(fields["result"]),
        idempotency=_key(fields["idempotency"]),
        trace=_trace(fields[_TRACE]) if traced else None,
        revision=_count(fields["revision"]),
    )
    # Others rely on it: a job that succeeded has a result, and one that failed says why.
    if (job.result is None) is (job.status is JobStatus.SUCCEEDED):
        raise ValueError("a result that does not fit the status")
    if (job.error is None) is (job.status is JobStatus.FAILED):
        raise ValueError("an error that does not fit the status")
    return job


def _spec(value: object) -> TransformSpec:
    fields = _object(value, frozenset({"scale", "format", "quality", "keep_metadata"}))
    return TransformSpec(
        scale=_count(fields["scale"]),
        format=_one_of(ImageFormat, fields["format"]),
        quality=_count(fields["quality"]),
        keep_metadata=_truth(fields["keep_metadata"]),
    )


def _error(value: object) -> JobError | None:
    if value is None:
        return None
    fields = _object(value, frozenset({"code", "message"}))
    return JobError(code=_one_of(JobErrorCode, fields["code"]), message=_text(fields["message"]))


def _result(value: object) -> Result | None:
    if value is None:
        return None
    fields = _object(value, frozenset({"location", "size", "media_type", "etag"}))
    return Result(
        location=_text(fields["location"]),
        size=_count(fields["size"]),
        media_type=_text(fields["media_type"]),
        etag=_text(fields["etag"]),
    )


def _key(value: object) -> IdempotencyKey | None:
    if value is None:
        return None
    fields = _object(value, frozenset({"value", "fingerprint"}))
    return IdempotencyKey(value=_text(fields["value"]), fingerprint=_text(fields["fingerprint"]))


def _trace(value: object) -> TraceContext:
    trace = parse(_text(value))
    if trace is None or str(trace) != value:
        raise ValueError("no trace")
    return trace


def _object(value: object, names: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, dict) or value.keys() != names:
        raise ValueError("not the fields that belong here")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 - one kind of error for all nonsense
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004 - one kind of error
    return value


def _count(value: object) -> int:
    # A bool is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("no count")
    return value


def _moment(value: object) -> int | None:
    return None if value is None else _count(value)


def _one_of(kind: type[_Enum], value: object) -> _Enum:
    return kind(_text(value))
