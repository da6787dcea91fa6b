"""What an operation of the admin API is: the request it gets, the reply it gives, its refusals."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from authz_service.errors import StoreError
from authz_service.identity.key_admin import UnknownKeyError
from authz_service.identity.key_fields import KeyFieldsError
from authz_service.identity.key_store import KeyConflictError

PLACEHOLDER: Final = "{}"
_RETRY_SECONDS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A request of somebody who may ask. `names` are what stands for the placeholders of its path.

    `body` is plain data, or None where the route takes none.
    """

    names: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    body: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status, and JSON or a text to go with it; None is no content."""

    status: HTTPStatus = HTTPStatus.OK
    data: Mapping[str, object] | str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """What the body is; it has to be there."""
        return "text/plain" if isinstance(self.data, str) else "application/json"

    def text(self) -> str:
        """The body."""
        if self.data is None or isinstance(self.data, str):
            return self.data or ""
        return json.dumps(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRoute:
    """One operation. In `path`, `{}` stands for one segment."""

    method: str
    path: str
    handle: Callable[[AdminRequest], Awaitable[Reply]]
    takes_body: bool = False

    def names_in(self, segments: list[str]) -> tuple[str, ...] | None:
        """What stands for the placeholders in the segments of a path; None for another path."""
        own = self.path.split("/")
        if len(own) != len(segments):
            return None
        pairs = list(zip(own, segments, strict=True))
        if any(part not in (PLACEHOLDER, segment) for part, segment in pairs):
            return None
        return tuple(segment for part, segment in pairs if part == PLACEHOLDER)


class RefusedError(Exception):
    """The request ends here, with this error."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers or {}

    def reply(self, request_id: str) -> Reply:
        """The one form of errors."""
        error: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "request_id": request_id,
        }
        if self.details is not None:
            error["details"] = self.details
        return Reply(status=self.status, data={"error": error}, headers=self.headers)


def refusal(error: Exception) -> RefusedError | None:
    """What an error of an operation means to whoever asked; None for one that nobody expected."""
    match error:
        case RefusedError():
            return error
        case KeyFieldsError(fields=fields):
            errors = [{"field": problem.field, "message": problem.message} for problem in fields]
            return RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "VALIDATION_ERROR",
                "Request validation failed",
                details={"errors": errors},
            )
        case UnknownKeyError():
            return not_found("There is no key with this id.")
        case KeyConflictError():
            sentence = str(error)
            message = f"{sentence[:1].upper()}{sentence[1:]}."
            return RefusedError(HTTPStatus.CONFLICT, "CONFLICT", message)
        case StoreError():
            return unavailable(
                "The key store did not do as it was asked; the request may have had effect."
            )
        case _:
            return None


def not_found(message: str) -> RefusedError:
    """There is nothing here."""
    return RefusedError(HTTPStatus.NOT_FOUND, "NOT_FOUND", message)


def unavailable(message: str) -> RefusedError:
    """It can be tried again."""
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "SERVICE_UNAVAILABLE",
        message,
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )
