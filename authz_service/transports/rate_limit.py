"""envoy.service.ratelimit.v3 ShouldRateLimit: decode, decide, encode."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import structlog

from authz_service.clock import stopwatch
from authz_service.core.descriptors import RateLimitRequest
from authz_service.core.global_limits import DOMAIN as POLICY_DOMAIN
from authz_service.core.resolve import Unanswerable
from authz_service.errors import StoreError, TooLargeError, UnanswerableError
from authz_service.limiter import Questions
from authz_service.observe.rate_limit_series import Failure, Kind, RateLimitSeries
from authz_service.transports.in_flight import InFlight
from authz_service.wire import services
from authz_service.wire.ratelimit_request import decode_rate_limit_request, once_of, request_id_of
from authz_service.wire.ratelimit_response import encode_rate_limit_response

_log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[services.RateLimitRequest, services.RateLimitResponse]


_OVER_LIMIT: Final = services.RateLimitResponse.OVER_LIMIT
_FAILURES: Final[Mapping[str, Failure]] = {
    Unanswerable.NO_DOMAIN: Failure.NO_DOMAIN,
    Unanswerable.NO_DESCRIPTORS: Failure.NO_DESCRIPTORS,
    Unanswerable.NO_RULES: Failure.NO_RULES,
    Unanswerable.UNKNOWN_UNIT: Failure.INVALID,
}
"""By the words that clients get."""


@dataclass(frozen=True, slots=True)
class _NoAnswer:
    status: grpc.StatusCode
    text: str
    failure: Failure


_STORE_UNAVAILABLE: Final = _NoAnswer(
    grpc.StatusCode.UNKNOWN, "the counter store does not answer", Failure.STORE_UNAVAILABLE
)
_INTERNAL_ERROR: Final = _NoAnswer(
    grpc.StatusCode.INTERNAL, "the question could not be answered", Failure.INTERNAL_ERROR
)


class RateLimitServicer(services.RateLimitServiceServicer):
    """Answers Envoy's rate limit filter, and every other client of that service."""

    def __init__(
        self,
        limiter: Questions,
        *,
        in_flight: InFlight,
        series: RateLimitSeries,
        seconds: Callable[[], float] = stopwatch,
    ) -> None:
        self._limiter = limiter
        self._in_flight = in_flight
        self._series = series
        self._seconds = seconds

    async def ShouldRateLimit(
        self, request: services.RateLimitRequest, context: Context
    ) -> services.RateLimitResponse:
        """One question: is any of these descriptors over its limit?

        Without an answer the client decides by its own configuration, so it gets a status. Those
        of UNKNOWN are those of envoyproxy/ratelimit, word for word.
        """
        began = self._seconds()
        kind = Kind.POLICY if request.domain == POLICY_DOMAIN else Kind.FILES
        metadata = tuple(context.invocation_metadata() or ())
        try:
            with self._in_flight:
                answer = await self._answer(request, request_id_of(metadata), once_of(metadata))
        except asyncio.CancelledError:  # the client's time was over before ours
            self._series.failed(kind, Failure.CANCELLED, seconds=self._seconds() - began)
            raise
        seconds = self._seconds() - began
        if isinstance(answer, _NoAnswer):
            self._series.failed(kind, answer.failure, seconds=seconds)
            await context.abort(answer.status, answer.text)
        self._series.answered(kind, over=answer.overall_code == _OVER_LIMIT, seconds=seconds)
        return answer

    async def _answer(
        self, request: services.RateLimitRequest, request_id: str, once: str | None
    ) -> services.RateLimitResponse | _NoAnswer:
        question = _decoded(request)
        if isinstance(question, _NoAnswer):
            return question
        try:
            response = await self._limiter.should_rate_limit(
                question, request_id=request_id, once=once
            )
            message = encode_rate_limit_response(response, request_id=request_id)
        except UnanswerableError as error:
            return _unanswerable(error)
        except StoreError:
            return _STORE_UNAVAILABLE
        except Exception:  # noqa: BLE001 - whatever it was, it is not the client's to read
            _log.exception("rate limit failed", request_id=request_id)
            return _INTERNAL_ERROR
        if response.in_shadow:
            self._series.passed_in_shadow()
        return message


def _decoded(request: services.RateLimitRequest) -> RateLimitRequest | _NoAnswer:
    try:
        return decode_rate_limit_request(request)
    except UnanswerableError as error:
        return _unanswerable(error)
    except TooLargeError as error:
        return _NoAnswer(grpc.StatusCode.INVALID_ARGUMENT, str(error), Failure.TOO_LARGE)
    except ValueError as error:
        return _NoAnswer(grpc.StatusCode.INVALID_ARGUMENT, str(error), Failure.INVALID)


def _unanswerable(error: UnanswerableError) -> _NoAnswer:
    text = str(error)
    return _NoAnswer(grpc.StatusCode.UNKNOWN, text, _FAILURES.get(text, Failure.INTERNAL_ERROR))
