"""The gRPC services in terms of messages, so that transports need not touch generated code."""

import grpc

from authz_service.wire.pb.ext_authz_pb2 import CheckRequest, CheckResponse
from authz_service.wire.pb.ext_authz_pb2_grpc import (
    AuthorizationServicer,
    add_AuthorizationServicer_to_server,
)
from authz_service.wire.pb.health_pb2 import HealthCheckRequest, HealthCheckResponse
from authz_service.wire.pb.health_pb2_grpc import (
    HealthServicer,
    HealthStub,
    add_HealthServicer_to_server,
)
from authz_service.wire.pb.ratelimit_pb2 import RateLimitRequest, RateLimitResponse
from authz_service.wire.pb.ratelimit_pb2_grpc import (
    RateLimitServiceServicer,
    RateLimitServiceStub,
    add_RateLimitServiceServicer_to_server,
)

AUTHORIZATION_SERVICE = "envoy.service.auth.v3.Authorization"
RATE_LIMIT_HEALTH = "ratelimit"
"""What clients of the established rate limit service ask the health of."""

__all__ = [
    "AUTHORIZATION_SERVICE",
    "RATE_LIMIT_HEALTH",
    "AuthorizationServicer",
    "CheckRequest",
    "CheckResponse",
    "HealthCheckRequest",
    "HealthCheckResponse",
    "HealthServicer",
    "HealthStub",
    "RateLimitRequest",
    "RateLimitResponse",
    "RateLimitServiceServicer",
    "RateLimitServiceStub",
    "register",
]


def register(
    server: grpc.aio.Server,
    *,
    authorization: AuthorizationServicer,
    health: HealthServicer,
    rate_limit: RateLimitServiceServicer | None = None,
) -> None:
    """Have `server` answer with these servicers."""
    add_AuthorizationServicer_to_server(authorization, server)  # type: ignore[no-untyped-call]
    add_HealthServicer_to_server(health, server)  # type: ignore[no-untyped-call]
    if rate_limit is not None:
        add_RateLimitServiceServicer_to_server(rate_limit, server)  # type: ignore[no-untyped-call]
