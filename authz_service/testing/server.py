"""A real worker in the test's own process, and a client that speaks bytes to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from authz_service.engine import Engine
from authz_service.limiter import Questions
from authz_service.observe.metrics import Metrics
from authz_service.settings import GrpcServer
from authz_service.transports.ext_authz import Decided, ExtAuthzServicer
from authz_service.transports.health import Health
from authz_service.transports.in_flight import InFlight
from authz_service.transports.listeners import build_server, listen
from authz_service.transports.rate_limit import RateLimitServicer
from authz_service.wire.services import AUTHORIZATION_SERVICE, RATE_LIMIT_HEALTH

_CHECK = "/envoy.service.auth.v3.Authorization/Check"
_SHOULD_RATE_LIMIT = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
_HEALTH = "/grpc.health.v1.Health/Check"
_WATCH = "/grpc.health.v1.Health/Watch"
_DEADLINE_S = 5.0

_UnaryCall: TypeAlias = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_StreamCall: TypeAlias = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A running server and a channel to it. Messages are bytes: the test says what they mean."""

    address: str
    health: Health
    in_flight: InFlight
    server: grpc.aio.Server
    channel: grpc.aio.Channel

    async def check(self, request: bytes, *, timeout_s: float = _DEADLINE_S) -> bytes:
        """Answer one serialized `CheckRequest`."""
        call: _UnaryCall = self.channel.unary_unary(_CHECK)
        return await call(request, timeout=timeout_s)

    async def should_rate_limit(self, request: bytes, *metadata: tuple[str, str]) -> bytes:
        """Answer one serialized `RateLimitRequest`."""
        call: _UnaryCall = self.channel.unary_unary(_SHOULD_RATE_LIMIT)
        return await call(request, timeout=_DEADLINE_S, metadata=metadata)

    async def health_check(self, request: bytes) -> bytes:
        """Answer one serialized `HealthCheckRequest`."""
        call: _UnaryCall = self.channel.unary_unary(_HEALTH)
        return await call(request, timeout=_DEADLINE_S)

    async def watch(self, request: bytes) -> AsyncIterator[bytes]:
        """Yield every serialized health status of a service until the server ends the call."""
        call: _StreamCall = self.channel.unary_stream(_WATCH)
        async for status in call(request, timeout=_DEADLINE_S):
            yield status


@asynccontextmanager
async def serving(
    engine: Engine,
    *,
    kind: GrpcServer,
    address: str,
    limiter: Questions | None = None,
    metrics: Metrics | None = None,
    decided: tuple[Decided, ...] = (),
) -> AsyncIterator[Worker]:
    """Serve `engine`, and `limiter` if there is one, at `address` with one of the two servers.

    Questions to the limiter are counted in `metrics`; `decided` are told of checks.
    """
    series = (metrics or Metrics()).rate_limit
    names = (
        [AUTHORIZATION_SERVICE] if limiter is None else [AUTHORIZATION_SERVICE, RATE_LIMIT_HEALTH]
    )
    health, in_flight = Health(names), InFlight()
    server = build_server(
        kind,
        authorization=ExtAuthzServicer(engine, in_flight=in_flight, decided=decided),
        health=health,
        rate_limit=None
        if limiter is None
        else RateLimitServicer(limiter, in_flight=in_flight, series=series),
    )
    listen(server, address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Worker(
                address=address,
                health=health,
                in_flight=in_flight,
                server=server,
                channel=channel,
            )
    finally:
        health.drain()
        await server.stop(None)
