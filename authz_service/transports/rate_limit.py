"""envoy.service.ratelimit.v3 ShouldRateLimit: decode, decide, encode."""

from dataclasses import dataclass

import grpc
import structlog

from authz_service.errors import StoreError, UnanswerableError
from authz_service.limiter import Questions
from authz_service.transports.in_flight import InFlight
from authz_service.wire import services
from authz_service.wire.ratelimit_request import decode_rate_limit_request, once_of, request_id_of
from authz_service.wire.ratelimit_response import encode_rate_limit_response

_log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[services.RateLimitRequest, services.RateLimitResponse]


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    status: grpc.StatusCode
    text: str


class RateLimitServicer(services.RateLimitServiceServicer):
    """Answers Envoy's rate limit filter, and every other client of that service."""

    def __init__(self, limiter: Questions, *, in_flight: InFlight) -> None:
        self._limiter = limiter
        self._in_flight = in_flight

    async def ShouldRateLimit(
        self, request: services.RateLimitRequest, context: Context
    ) -> services.RateLimitResponse:
        """One question: is any of these descriptors over its limit?

        Without an answer the client decides by its own configuration, so it gets a status. Those
        of UNKNOWN are those of envoyproxy/ratelimit, word for word.
        """
        metadata = tuple(context.invocation_metadata() or ())
        with self._in_flight:
            answer = await self._answer(request, request_id_of(metadata), once_of(metadata))
        if isinstance(answer, _NoAnswer):
            await context.abort(answer.status, answer.text)
        return answer

    async def _answer(
        self, request: services.RateLimitRequest, request_id: str, once: str | None
    ) -> services.RateLimitResponse | _NoAnswer:
        try:
            question = decode_rate_limit_request(request)
        except UnanswerableError as error:
            return _NoAnswer(grpc.StatusCode.UNKNOWN, str(error))
        except ValueError as error:
            return _NoAnswer(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        try:
            response = await self._limiter.should_rate_limit(
                question, request_id=request_id, once=once
            )
            return encode_rate_limit_response(response, request_id=request_id)
        except UnanswerableError as error:
            return _NoAnswer(grpc.StatusCode.UNKNOWN, str(error))
        except StoreError:
            return _NoAnswer(grpc.StatusCode.UNKNOWN, "the counter store does not answer")
        except Exception:  # noqa: BLE001 - whatever it was, it is not the client's to read
            _log.exception("rate limit failed", request_id=request_id)
            return _NoAnswer(grpc.StatusCode.INTERNAL, "the question could not be answered")
