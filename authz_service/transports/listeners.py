"""The gRPC server: which implementation, listening where. Fails loudly if it cannot."""

import socket
from collections.abc import Sequence
from pathlib import Path

import grpc
import pygrpc_native.aio

from authz_service.errors import ListenError
from authz_service.settings import GrpcServer
from authz_service.wire.services import (
    AuthorizationServicer,
    HealthServicer,
    RateLimitServiceServicer,
    register,
)

# A CheckRequest is bounded by Envoy's header limits: tens of KiB.
_MAX_MESSAGE_BYTES = 1 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a taken port must be an error, not a shared port
)


def build_server(
    kind: GrpcServer,
    *,
    authorization: AuthorizationServicer,
    health: HealthServicer,
    rate_limit: RateLimitServiceServicer | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """A gRPC server with these services, not yet listening.

    `native` parses HTTP/2 outside the GIL; `grpcio` is the reference implementation. Both take
    the same servicers; only `grpcio` knows TLS, and interceptors.
    """
    server: grpc.aio.Server
    if kind is GrpcServer.NATIVE:
        server = pygrpc_native.aio.server(options=_OPTIONS)
    else:
        server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    register(server, authorization=authorization, health=health, rate_limit=rate_limit)
    return server


def listen(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> None:
    """Bind `address`: `unix:PATH` or `HOST:PORT`. With credentials it is asked by TLS.

    Raises:
        ListenError: the address is taken, or not ours to bind.
    """
    try:
        if address.startswith("unix:"):
            _claim(Path(address.removeprefix("unix:")))
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except (RuntimeError, OSError) as error:
        raise ListenError(f"cannot listen on {address}: {error}") from error
    if bound == 0:
        raise ListenError(f"cannot listen on {address}")


def _claim(path: Path) -> None:
    """Make way for our socket: gRPC servers replace a socket file even if somebody serves on it."""
    if not path.parent.is_dir():
        raise ListenError(f"cannot listen on unix:{path}: no such folder {path.parent}")
    if path.exists() and not path.is_socket():
        raise ListenError(f"cannot listen on unix:{path}: there is something that is no socket")
    if _answers(path):
        raise ListenError(f"cannot listen on unix:{path}: another process serves there")
    path.unlink(missing_ok=True)  # a stale socket of a killed worker


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
