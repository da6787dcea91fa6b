"""Every error this service raises on purpose.

`ApiException` and its children are what a client sees: each knows its code and status, and
`body` is the one form of all of them. The names follow the published API document.
"""
# ruff: noqa: N818 - the API document names the client's errors `...Exception`.

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import ClassVar

from image_service.core.spec import FieldProblem


class ImageServiceError(Exception):
    """The root of what concerns the operator: never raised itself."""


class ConfigurationError(ImageServiceError):
    """The operator's settings are wrong. Holds every problem found, one a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ListenError(ImageServiceError):
    """An address cannot be listened on. The message names it."""


class StoreFullError(ImageServiceError):
    """The store keeps as much as it may: retryable, once something has expired."""


class QueueFullError(ImageServiceError):
    """As many jobs wait as may: retryable."""


class ClaimLostError(ImageServiceError):
    """The idempotency key of a job belongs to another request by now."""


class StoreError(ImageServiceError):
    """The job store or the queue did not answer in time, or answered nonsense."""


class UnreadableError(StoreError):
    """The job store holds something that is no job to us: a newer program's, or nonsense."""


class FilesError(ImageServiceError):
    """The store of uploads and results cannot be reached, or has no room."""


class DecoderError(ImageServiceError):
    """A decoder process died, ran out of memory or took too long. The message says which."""


class ApiException(Exception):
    """What a client is told. `details` and `headers` are for the answer as they stand."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def body(self, request_id: str) -> Mapping[str, object]:
        """The answer's JSON document."""
        error = {"code": self.code, "message": self.message, "request_id": request_id}
        return {"error": error if self.details is None else error | {"details": self.details}}


class BadRequestException(ApiException):
    """The request itself is malformed."""

    code = "BAD_REQUEST"
    status = HTTPStatus.BAD_REQUEST


class InvalidImageException(ApiException):
    """The file is not an image that this service takes."""

    code = "INVALID_IMAGE"
    status = HTTPStatus.BAD_REQUEST


class UnauthenticatedException(ApiException):
    """The request does not carry the identity that the sidecar gives to every request."""

    code = "UNAUTHENTICATED"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self) -> None:
        super().__init__(
            "Authentication is required.", headers={"WWW-Authenticate": 'Bearer realm="api"'}
        )


class NotFoundException(ApiException):
    """No such path."""

    code = "NOT_FOUND"
    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("Not found.")


class JobNotFoundException(ApiException):
    """No such job, or it belongs to somebody else: the answer does not tell which."""

    code = "JOB_NOT_FOUND"
    status = HTTPStatus.NOT_FOUND

    def __init__(self, *, job_id: str) -> None:
        super().__init__(f"Job not found: {job_id}", details={"job_id": job_id})


class MethodNotAllowedException(ApiException):
    """The path exists, the method does not."""

    code = "METHOD_NOT_ALLOWED"
    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, *, allow: str) -> None:
        super().__init__("Method not allowed.", headers={"Allow": allow})


class RequestTimeoutException(ApiException):
    """The request's body did not arrive in time."""

    code = "REQUEST_TIMEOUT"
    status = HTTPStatus.REQUEST_TIMEOUT

    def __init__(self) -> None:
        super().__init__("The request took too long to arrive.", headers={"Connection": "close"})


class JobNotReadyException(ApiException):
    """The result does not exist yet."""

    code = "JOB_NOT_READY"
    status = HTTPStatus.CONFLICT

    def __init__(self, *, job_id: str) -> None:
        super().__init__(
            "The job has not finished yet.",
            details={"job_id": job_id},
            headers={"Retry-After": "1"},
        )


class JobFailedException(ApiException):
    """The job ended without a result."""

    code = "JOB_FAILED"
    status = HTTPStatus.CONFLICT


class ConflictException(ApiException):
    """Another request with the same idempotency key is still arriving."""

    code = "CONFLICT"
    status = HTTPStatus.CONFLICT

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": "1"})


class PayloadTooLargeException(ApiException):
    """The file is larger than the caller's tier allows."""

    code = "PAYLOAD_TOO_LARGE"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def __init__(self, *, tier: str, max_file_bytes: int) -> None:
        super().__init__("File too large", details={"tier": tier, "max_file_bytes": max_file_bytes})


class UnsupportedMediaTypeException(ApiException):
    """The body is not a multipart form."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__("The body must be multipart/form-data.")


class PreconditionFailedException(ApiException):
    """The result is not one of those that the request is meant for."""

    code = "BAD_REQUEST"
    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self, *, etag: str) -> None:
        super().__init__("The result is not the one that If-Match names.", headers={"ETag": etag})


class RangeNotSatisfiableException(ApiException):
    """No byte of the requested range exists."""

    code = "BAD_REQUEST"
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, *, size: int) -> None:
        super().__init__(
            "The requested range lies outside the result.",
            headers={"Content-Range": f"bytes */{size}"},
        )


class ValidationException(ApiException):
    """The form's fields cannot be acted on; all of them are named at once."""

    code = "VALIDATION_ERROR"
    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(
            "Request validation failed",
            details={"errors": [asdict(problem) for problem in problems]},
        )


class InternalErrorException(ApiException):
    """Our fault. What exactly went wrong is in the log, never in the answer."""

    def __init__(self) -> None:
        super().__init__("Internal server error.")


class ServiceUnavailableException(ApiException):
    """No more work is taken at the moment."""

    code = "SERVICE_UNAVAILABLE"
    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            "The service is busy. Please try again later.",
            headers={"Retry-After": str(retry_after_s)},
        )
