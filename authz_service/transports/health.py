"""gRPC health (grpc.health.v1): serving until the drain begins, and never again after it.

A dead counter store does not show here: every worker shares it, so taking them out of
rotation would turn a degraded service into no service.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc

from authz_service.wire.services import (
    AUTHORIZATION_SERVICE,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthServicer,
)

Status = HealthCheckResponse.ServingStatus
Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]

# The empty name asks about the whole server (gRPC health checking protocol).
_SERVER = ""


class Health(HealthServicer):
    """Tells load balancers whether to send calls here. `services` are the names it knows."""

    def __init__(self, services: Iterable[str] = (AUTHORIZATION_SERVICE,)) -> None:
        self._known = frozenset({_SERVER, *services})
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Say NOT_SERVING from now on. There is no way back."""
        self._draining.set()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        """The status now; an unknown service is the RPC error NOT_FOUND, as the protocol says."""
        status = self._status(request.service)
        if status is Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(status=status)

    async def Watch(
        self, request: HealthCheckRequest, context: Context
    ) -> AsyncIterator[HealthCheckResponse]:
        """The status now, and each change of it, until the caller leaves.

        An unknown service is told as SERVICE_UNKNOWN and stays open: it could appear later.
        """
        status = self._status(request.service)
        yield HealthCheckResponse(status=status)
        await self._draining.wait()
        if status is Status.SERVING:
            yield HealthCheckResponse(status=Status.NOT_SERVING)

    def _status(self, service: str) -> Status:
        if service not in self._known:
            return Status.SERVICE_UNKNOWN
        return Status.NOT_SERVING if self._draining.is_set() else Status.SERVING
