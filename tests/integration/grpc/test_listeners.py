"""Listening: what is taken, missing or not ours is an error that names the address."""

import socket
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from authz_service.errors import ListenError
from authz_service.settings import GrpcServer
from authz_service.transports.health import Health
from authz_service.transports.listeners import build_server, listen
from authz_service.transports.probe import is_serving
from authz_service.wire.services import AuthorizationServicer

Stack: TypeAlias = Any  # defined beside these tests, in a conftest


@pytest.fixture
async def server(kind: GrpcServer) -> grpc.aio.Server:
    """A server that does not listen yet."""
    return build_server(kind, authorization=AuthorizationServicer(), health=Health())


async def test_a_taken_port_is_an_error(server: grpc.aio.Server) -> None:
    """A port on which somebody listens is refused, not shared."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"cannot listen on {address}"):
            listen(server, address)


async def test_two_workers_cannot_share_a_port(kind: GrpcServer) -> None:
    """A second worker on the same port fails, although both are ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = (
        build_server(kind, authorization=AuthorizationServicer(), health=Health()) for _ in "12"
    )
    listen(first, address)
    await first.start()
    try:
        assert await is_serving(address)
        with pytest.raises(ListenError):
            listen(second, address)
    finally:
        await first.stop(None)


async def test_a_stale_socket_is_replaced(server: grpc.aio.Server, tmp_path: Path) -> None:
    """The socket file of a worker that was killed does not keep the next one from starting."""
    path = tmp_path / "authz.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    listen(server, f"unix:{path}")
    await server.start()
    try:
        assert await is_serving(f"unix:{path}")
    finally:
        await server.stop(None)


async def test_a_socket_that_answers_is_left_alone(server: grpc.aio.Server, stack: Stack) -> None:
    """A worker never takes the socket of another that still serves."""
    with pytest.raises(ListenError, match="another process serves there"):
        listen(server, stack.worker.address)
    assert await is_serving(stack.worker.address)


async def test_a_missing_folder_is_an_error(server: grpc.aio.Server, tmp_path: Path) -> None:
    """The folder of a socket must exist; the message names it."""
    with pytest.raises(ListenError, match=f"no such folder {tmp_path}/missing"):
        listen(server, f"unix:{tmp_path}/missing/authz.sock")


async def test_a_file_that_is_no_socket_is_left_alone(
    server: grpc.aio.Server, tmp_path: Path
) -> None:
    """A slip in the address never deletes somebody's file."""
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(ListenError, match="something that is no socket"):
        listen(server, f"unix:{path}")
    assert path.read_text() == "precious"


@pytest.mark.parametrize("address", ["unix:/tmp/" + "x" * 120, "no such host:80", "256.0.0.1:80"])
async def test_an_address_that_cannot_be_bound_is_an_error(
    server: grpc.aio.Server, address: str
) -> None:
    """Whatever the system refuses is told as our own error, with the address."""
    with pytest.raises(ListenError) as caught:
        listen(server, address)
    assert address in str(caught.value)
