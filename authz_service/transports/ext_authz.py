"""envoy.service.auth.v3 Check: decode, decide, encode."""

from collections.abc import Callable, Mapping

import grpc
import structlog

from authz_service.clock import stopwatch
from authz_service.engine import Engine
from authz_service.transports.in_flight import InFlight
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.check_response import encode_check_response
from authz_service.wire.services import AuthorizationServicer, CheckRequest, CheckResponse

_log = structlog.get_logger(__name__)

Decided = Callable[[Mapping[str, str], float], None]
"""Told of each answer: its metadata, and how many seconds it took."""

Context = grpc.aio.ServicerContext[CheckRequest, CheckResponse]


class ExtAuthzServicer(AuthorizationServicer):
    """Answers Envoy's external authorization filter."""

    def __init__(
        self,
        engine: Engine,
        *,
        in_flight: InFlight,
        decided: Decided = lambda _metadata, _seconds: None,
    ) -> None:
        self._engine = engine
        self._decided = decided
        self._stopwatch = stopwatch
        self._in_flight = in_flight

    async def Check(self, request: CheckRequest, context: Context) -> CheckResponse:
        """One request: may it pass, as whom, and how much is left?

        A handler's exception would reach Envoy as gRPC UNKNOWN, whose meaning then hangs on
        Envoy's configuration. So every failure is answered on purpose, as 503.
        """
        began = self._stopwatch()
        facts = decode_check_request(request)
        with self._in_flight:
            try:
                answer = await self._engine.check(facts)
            except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
                _log.exception("check failed", request_id=facts.request_id)
                answer = self._engine.failed(facts)
        self._decided(answer.metadata, self._stopwatch() - began)
        return encode_check_response(answer)
