"""envoy.service.auth.v3 Check: decode, decide, encode."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import grpc
import structlog

from authz_service.clock import stopwatch
from authz_service.engine import Engine
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.check_response import encode_check_response
from authz_service.wire.services import AuthorizationServicer, CheckRequest, CheckResponse

# The native server sends an answer a moment after its handler has returned it.
_LEAVING_SECONDS = 0.05

_log = structlog.get_logger(__name__)

Decided = Callable[[Mapping[str, str], float], None]
"""Told of each answer: its metadata, and how many seconds it took."""

Context = grpc.aio.ServicerContext[CheckRequest, CheckResponse]


class ExtAuthzServicer(AuthorizationServicer):
    """Answers Envoy's external authorization filter."""

    def __init__(
        self, engine: Engine, *, decided: Decided = lambda _metadata, _seconds: None
    ) -> None:
        self._engine = engine
        self._decided = decided
        self._stopwatch = stopwatch
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def Check(self, request: CheckRequest, context: Context) -> CheckResponse:
        """One request: may it pass, as whom, and how much is left?

        A handler's exception would reach Envoy as gRPC UNKNOWN, whose meaning then hangs on
        Envoy's configuration. So every failure is answered on purpose, as 503.
        """
        began = self._stopwatch()
        facts = decode_check_request(request)
        self._began()
        try:
            answer = await self._engine.check(facts)
        except Exception:  # noqa: BLE001 - whatever it was, the client must get an answer
            _log.exception("check failed", request_id=facts.request_id)
            answer = self._engine.failed(facts)
        finally:
            self._ended()
        self._decided(answer.metadata, self._stopwatch() - began)
        return encode_check_response(answer)

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until no check is being answered, at most `timeout_s`, and its answer has left."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        await asyncio.sleep(_LEAVING_SECONDS)

    def _began(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _ended(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
