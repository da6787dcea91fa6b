"""Ask a worker for its health, as Envoy does."""

import grpc

from authz_service.wire.services import (
    AUTHORIZATION_SERVICE,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthStub,
)


async def is_serving(address: str, *, timeout_s: float = 1.0) -> bool:
    """Whether the worker at `address` (`unix:PATH` or `HOST:PORT`) wants checks now."""
    health = await _health(address, timeout_s)
    return health is not None and health.status == HealthCheckResponse.SERVING


async def is_there(address: str, *, timeout_s: float = 1.0) -> bool:
    """Whether the worker at `address` answers at all, draining or not."""
    return await _health(address, timeout_s) is not None


async def _health(address: str, timeout_s: float) -> HealthCheckResponse | None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = HealthStub(channel)  # type: ignore[no-untyped-call]
        try:
            reply: HealthCheckResponse = await stub.Check(
                HealthCheckRequest(service=AUTHORIZATION_SERVICE), timeout=timeout_s
            )
        except grpc.aio.AioRpcError:
            return None
        return reply
