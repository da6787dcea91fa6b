"""What envoyproxy/ratelimit answers over HTTP: `POST /json`, and `GET /healthcheck`."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from authz_service.core.global_limits import DOMAIN as POLICY_DOMAIN
from authz_service.errors import TooLargeError, UnanswerableError
from authz_service.observe.rate_limit_series import JsonRefusal
from authz_service.wire.ratelimit_request import rate_limit_request_from_json
from authz_service.wire.ratelimit_response import rate_limit_response_as_json
from authz_service.wire.services import RateLimitRequest, RateLimitResponse

MAX_BODY_BYTES: Final = 64 << 10
_SECONDS: Final = 5.0  # for the body and the answer together

_STATUS: Final = {
    RateLimitResponse.OK: HTTPStatus.OK,
    RateLimitResponse.OVER_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
}

_EXPECTED: Final = (
    *(ValueError, UnanswerableError, TimeoutError),
    *(web.RequestPayloadError, ConnectionError),
)

_log = structlog.get_logger(__name__)

Ask = Callable[[RateLimitRequest], Awaitable[RateLimitResponse]]
"""Puts a question to a worker; raises UnanswerableError where there is no answer."""

Refused = Callable[[JsonRefusal], None]
"""Told of each question that gets a 400, and why."""

Endpoint = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _PolicyDomainError(ValueError):
    """The question is about the policy's own limits."""


def json_endpoint(ask: Ask, *, refused: Refused) -> Endpoint:
    """Questions in protobuf's JSON form. Each counts like any other.

    Whatever keeps one from being answered is a 400, as clients of the other service know it; why,
    stands in the log.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_SECONDS):
                message = await ask(_question(await _body(request)))
        except _EXPECTED as error:
            reason, words = _why(error)
            refused(reason)
            _log.warning("a question in JSON was not answered", reason=words)
            return web.Response(status=HTTPStatus.BAD_REQUEST, text="Bad Request\n")
        return web.Response(
            status=_STATUS.get(message.overall_code, HTTPStatus.INTERNAL_SERVER_ERROR),
            text=rate_limit_response_as_json(message),
            content_type="application/json",
        )

    return answer


def healthcheck_endpoint(is_ready: Callable[[], bool]) -> Endpoint:
    """Whether the service wants traffic."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        if is_ready():
            return web.Response(text="OK")
        return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)

    return answer


async def _body(request: web.BaseRequest) -> bytes:
    content = bytearray()
    async for part in request.content.iter_any():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise TooLargeError(f"the body has more than {MAX_BODY_BYTES} bytes")
    return bytes(content)


def _question(text: bytes) -> RateLimitRequest:
    question = rate_limit_request_from_json(text)
    if question.domain == POLICY_DOMAIN:
        raise _PolicyDomainError("the policy's own limits are asked for by Envoy alone")
    return question


def _why(error: Exception) -> tuple[JsonRefusal, str]:
    """What to count, and what to say in the log."""
    match error:
        case TooLargeError():
            return JsonRefusal.TOO_LARGE, str(error)
        case _PolicyDomainError():
            return JsonRefusal.POLICY_DOMAIN, str(error)
        case ValueError():
            return JsonRefusal.MALFORMED, str(error)
        case UnanswerableError():
            return JsonRefusal.UNANSWERED, str(error)
        case TimeoutError():
            return JsonRefusal.TIMEOUT, "it took too long"
    return JsonRefusal.MALFORMED, "the request is malformed"
