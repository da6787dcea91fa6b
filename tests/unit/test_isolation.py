"""The ban on sockets in unit tests is itself tested."""

import asyncio
import socket
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError

# The ban warns before it raises, and warnings are errors here.
BLOCKED = (SocketBlockedError, UserWarning)


def test_a_network_socket_cannot_be_made() -> None:
    """A unit test that opens a network socket fails."""
    with pytest.raises(BLOCKED, match="tried to use"):
        socket.socket(socket.AF_INET)


@pytest.mark.parametrize("verb", ["bind", "connect", "connect_ex"])
def test_a_unix_socket_leads_nowhere(verb: str, tmp_path: Path) -> None:
    """A unit test can neither serve on a Unix socket nor connect to one."""
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(BLOCKED, match="tried to use"):
        getattr(probe, verb)(str(tmp_path / "socket"))


async def test_an_event_loop_still_works() -> None:
    """Asynchronous unit tests run although sockets are forbidden."""
    assert await asyncio.to_thread(lambda: 7) == 7
