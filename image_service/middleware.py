"""Around every request: its id, the count of requests in hand, and the one form of errors."""

import re
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from image_service.core.trace import parse
from image_service.errors import (
    ApiException,
    BadRequestException,
    FilesError,
    InternalErrorException,
    MethodNotAllowedException,
    NotFoundException,
    ServiceUnavailableException,
    StoreError,
)
from image_service.observe import ctx_logger, request_context
from image_service.readiness import Readiness
from image_service.tracing import Tracing

REQUEST_ID: Final = web.RequestKey("request_id", str)

_STORE_BACK_S: Final = 5
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(value: str | None, new_request_id: Callable[[], str]) -> str:
    """The id that came with the request, if it is fit for logs and answers; else a new one."""
    if value is not None and _SANE_ID.fullmatch(value):
        return value
    return new_request_id()


def context_middleware(readiness: Readiness, new_request_id: Callable[[], str]) -> Middleware:
    """Give the request its id and count it as in hand."""

    @web.middleware
    async def in_context(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request_id_of(request.headers.get("X-Request-ID"), new_request_id)
        request[REQUEST_ID] = request_id
        with request_context(request_id), readiness.request():
            return await handler(request)

    return in_context


def trace_middleware(tracing: Tracing) -> Middleware:
    """Put a span around the request, named after its route: a path may hold anything."""

    @web.middleware
    async def in_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = "other" if resource is None else resource.canonical
        parent = parse(request.headers.get("traceparent", ""))
        with tracing.continued(route, parent, kind="request"):
            response = await handler(request)
            tracing.tell({"http.route": route, "http.response.status_code": response.status})
            return response

    return in_trace


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into the one form of errors."""
    try:
        return await handler(request)
    except ApiException as error:
        return error_response(error, request[REQUEST_ID])
    except web.HTTPException as error:
        return error_response(_of_framework(error), request[REQUEST_ID])
    except (StoreError, FilesError) as error:
        ctx_logger.warning("Store unavailable", reason=str(error))
        refusal = ServiceUnavailableException(retry_after_s=_STORE_BACK_S)
        return error_response(refusal, request[REQUEST_ID])
    except ConnectionError:
        # The client is gone: there is nobody to answer.
        raise
    except Exception:  # noqa: BLE001 - the last line: a client must not see what it was
        ctx_logger.exception("Request broke", method=request.method, path=request.path)
        return error_response(InternalErrorException(), request[REQUEST_ID])


def error_response(error: ApiException, request_id: str) -> web.Response:
    """The answer to a refused request."""
    return web.json_response(error.body(request_id), status=error.status, headers=error.headers)


def _of_framework(error: web.HTTPException) -> ApiException:
    match error:
        case web.HTTPNotFound():
            return NotFoundException()
        case web.HTTPMethodNotAllowed():
            return MethodNotAllowedException(allow=",".join(sorted(error.allowed_methods)))
        case _:
            return BadRequestException("The request cannot be served.")
