import pytest

from image_service.core.spec import FieldProblem
from image_service.errors import (
    ApiException,
    InvalidImageException,
    JobNotFoundException,
    JobNotReadyException,
    MethodNotAllowedException,
    PayloadTooLargeException,
    ServiceUnavailableException,
    UnauthenticatedException,
    ValidationException,
)

_CONTRACT = {
    "BAD_REQUEST": {400, 412, 416},
    "CONFLICT": {409},
    "INTERNAL_ERROR": {500},
    "INVALID_IMAGE": {400},
    "JOB_FAILED": {409},
    "JOB_NOT_FOUND": {404},
    "JOB_NOT_READY": {409},
    "METHOD_NOT_ALLOWED": {405},
    "NOT_FOUND": {404},
    "PAYLOAD_TOO_LARGE": {413},
    "REQUEST_TIMEOUT": {408},
    "SERVICE_UNAVAILABLE": {503},
    "UNAUTHENTICATED": {401},
    "UNSUPPORTED_MEDIA_TYPE": {415},
    "VALIDATION_ERROR": {422},
}


def test_codes_and_statuses_are_the_contracts() -> None:
    """Every exception has one of the published codes with its status, and none is left out."""
    found: dict[str, set[int]] = {}
    for kind in ApiException.__subclasses__():
        found.setdefault(kind.code, set()).add(kind.status.value)
    assert found == _CONTRACT


def test_the_documented_example_holds() -> None:
    """`JobNotFoundException(job_id="123")` answers what the API document shows."""
    assert JobNotFoundException(job_id="123").body("abc") == {
        "error": {
            "code": "JOB_NOT_FOUND",
            "message": "Job not found: 123",
            "request_id": "abc",
            "details": {"job_id": "123"},
        }
    }


def test_details_are_left_out_when_there_are_none() -> None:
    """No empty member, no null."""
    assert InvalidImageException("The file is empty.").body("abc") == {
        "error": {"code": "INVALID_IMAGE", "message": "The file is empty.", "request_id": "abc"}
    }


def test_field_problems_are_listed() -> None:
    """Each problem with its field, its sentence and its type."""
    body = ValidationException([FieldProblem("scale", "must be 2 or 4")]).body("abc")
    assert body == {
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "Request validation failed",
            "request_id": "abc",
            "details": {
                "errors": [{"field": "scale", "message": "must be 2 or 4", "type": "value_error"}]
            },
        }
    }


def test_a_large_file_is_told_its_limit() -> None:
    """The same details as Envoy's own answer to a large body."""
    error = PayloadTooLargeException(tier="free", max_file_bytes=5_242_880)
    assert error.message == "File too large"
    assert error.details == {"tier": "free", "max_file_bytes": 5_242_880}


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (MethodNotAllowedException(allow="GET"), "Allow", "GET"),
        (JobNotReadyException(job_id="1"), "Retry-After", "1"),
        (ServiceUnavailableException(retry_after_s=5), "Retry-After", "5"),
        (UnauthenticatedException(), "WWW-Authenticate", 'Bearer realm="api"'),
    ],
)
def test_headers_that_belong_to_a_status_are_there(
    error: ApiException, name: str, value: str
) -> None:
    """RFC 9110 asks for them."""
    assert error.headers == {name: value}
