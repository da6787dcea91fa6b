"""envoy.service.auth.v3 Check: decode, decide, encode."""

import asyncio
from collections.abc import Callable

import grpc
import structlog

from authz_service.clock import stopwatch
from authz_service.core.facts import Facts
from authz_service.core.respond import Outcome
from authz_service.engine import Engine
from authz_service.transports.in_flight import InFlight
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.check_response import encode_check_response
from authz_service.wire.services import AuthorizationServicer, CheckRequest, CheckResponse

_log = structlog.get_logger(__name__)

Decided = Callable[[Facts, Outcome, float], None]
"""Told of each request: what became of it, and after how many seconds. Never raises."""

Context = grpc.aio.ServicerContext[CheckRequest, CheckResponse]


class ExtAuthzServicer(AuthorizationServicer):
    """Answers Envoy's external authorization filter."""

    def __init__(
        self,
        engine: Engine,
        *,
        in_flight: InFlight,
        decided: tuple[Decided, ...] = (),
    ) -> None:
        self._engine = engine
        self._decided = decided
        self._stopwatch = stopwatch
        self._in_flight = in_flight

    async def Check(self, request: CheckRequest, context: Context) -> CheckResponse:
        """One request: may it pass, as whom, and how much is left?

        A handler's exception would reach Envoy as gRPC UNKNOWN, whose meaning then hangs on
        Envoy's configuration. So every failure is answered on purpose, as 503. A check that Envoy
        gives up, because its client left or its own time is over, is told of like any other; what
        it was to be charged may have been charged.
        """
        began = self._stopwatch()
        facts = decode_check_request(request)
        with self._in_flight:
            try:
                answer = await self._engine.check(facts)
            except asyncio.CancelledError:
                self._tell(facts, self._engine.abandoned(facts), began)
                raise
            except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
                _log.exception("check failed", request_id=facts.request_id)
                answer = self._engine.failed(facts)
        self._tell(facts, answer, began)
        return encode_check_response(answer)

    def _tell(self, facts: Facts, outcome: Outcome, began: float) -> None:
        seconds = self._stopwatch() - began
        for told in self._decided:
            told(facts, outcome, seconds)
