"""Ask a rate limit service, ours or another, as Envoy does."""

import grpc

from authz_service.errors import UnanswerableError
from authz_service.wire.services import (
    RateLimitRequest,
    RateLimitResponse,
    RateLimitServiceStub,
)


async def ask(
    address: str, request: RateLimitRequest, *, timeout_s: float = 2.0
) -> RateLimitResponse:
    """The answer of the service at `address` (`unix:PATH` or `HOST:PORT`).

    Raises:
        UnanswerableError: it gave none; with its status, and its own words if it said any.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        stub = RateLimitServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            reply: RateLimitResponse = await stub.ShouldRateLimit(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            words = f": {error.details()}" if error.details() else ""
            raise UnanswerableError(f"{address}: {error.code().name}{words}") from None
        return reply
