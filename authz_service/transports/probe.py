"""Ask a worker for its health, as Envoy does."""

import grpc

from authz_service.wire.services import AUTHORIZATION_SERVICE, HealthCheckRequest, HealthStub


async def is_serving(address: str, *, timeout_s: float = 1.0) -> bool:
    """Whether the worker at `address` (`unix:PATH` or `HOST:PORT`) answers checks now."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = HealthStub(channel)  # type: ignore[no-untyped-call]
        try:
            reply = await stub.Check(
                HealthCheckRequest(service=AUTHORIZATION_SERVICE), timeout=timeout_s
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == reply.SERVING)
