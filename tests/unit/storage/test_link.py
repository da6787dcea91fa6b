"""One socket for many callers, without a socket: what is written when, and who gets which reply."""

import asyncio

import pytest

from authz_service.errors import StoreError
from authz_service.storage.redis.link import Link

PING = b"*1\r\n$4\r\nPING\r\n"
LONG_S = 60.0


class RecordingTransport(asyncio.Transport):
    """Keeps what is written; hangs up like a socket."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.writes.append(bytes(data))

    def abort(self) -> None:
        """Close, and say so in the next turn of the loop."""
        asyncio.get_running_loop().call_soon(self._link.connection_lost, None)


def connected(timeout_s: float = LONG_S) -> tuple[Link, RecordingTransport]:
    """Make an open link."""
    link = Link(timeout_s=timeout_s)
    transport = RecordingTransport(link)
    link.connection_made(transport)
    return link, transport


async def test_all_commands_of_one_turn_leave_in_one_write() -> None:
    """Thirty-two callers cost one system call."""
    link, transport = connected()
    for _ in range(32):
        link.send(("PING",))
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [PING * 32]
    link.send(("PING",))
    await asyncio.sleep(0)
    assert transport.writes[1:] == [PING]
    link.give_up("done")


async def test_replies_go_to_their_callers_however_the_bytes_are_cut() -> None:
    """One byte at a time, each caller gets the reply to its own command."""
    link, _ = connected()
    replies = [link.send(("PING",)) for _ in range(3)]
    for byte in b":1\r\n$2\r\nab\r\n*2\r\n:3\r\n:4\r\n":
        link.data_received(bytes([byte]))
    assert [await reply for reply in replies] == [1, b"ab", [3, 4]]


async def test_an_abandoned_reply_is_read_and_dropped() -> None:
    """A caller who left still holds its place in the order."""
    link, _ = connected()
    first, second, third = (link.send(("PING",)) for _ in range(3))
    second.cancel()
    link.data_received(b":1\r\n:2\r\n:3\r\n")
    assert (await first, await third) == (1, 3)


async def test_a_late_reply_ends_the_link_for_everybody() -> None:
    """The oldest waiter's deadline closes the socket; the others are told the same reason."""
    link, _ = connected(timeout_s=0.01)
    replies = [link.send(("PING",)) for _ in range(3)]
    for reply in replies:
        with pytest.raises(StoreError, match="did not answer in time"):
            await reply
    assert not link.is_open
    with pytest.raises(StoreError, match="closed"):
        link.send(("PING",))


async def test_a_stalled_process_reads_before_it_blames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that lay in the socket while this process stood still is in time."""
    link, _ = connected(timeout_s=5.0)
    loop = asyncio.get_running_loop()
    reply = link.send(("PING",))
    late = loop.time() + 6.0
    monkeypatch.setattr(loop, "time", lambda: late)
    link._check_deadline()
    link.data_received(b"+PONG\r\n")
    monkeypatch.undo()
    await asyncio.sleep(0.005)
    assert link.is_open
    assert await reply == b"PONG"
    link.give_up("done")


async def test_a_lost_socket_fails_whoever_waits() -> None:
    """The reason is told, and `closed` returns."""
    link, _ = connected()
    reply = link.send(("PING",))
    link.connection_lost(ConnectionResetError())
    with pytest.raises(StoreError, match="closed the connection"):
        await reply
    await link.closed()


@pytest.mark.parametrize("noise", [b"HTTP/1.1 200 OK\r\n", b":1\r\n:2\r\n", b"\x00\xff\r\n"])
async def test_bytes_that_are_no_reply_end_the_link(noise: bytes) -> None:
    """Not RESP, or a reply that nobody asked for."""
    link, _ = connected()
    reply = link.send(("PING",))
    link.data_received(noise)
    assert not link.is_open
    if not noise.startswith(b":"):
        with pytest.raises(StoreError, match="no reply"):
            await reply
