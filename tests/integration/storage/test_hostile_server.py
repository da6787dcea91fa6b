"""A server that answers, but not as Redis does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.clock import SystemClock
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Rate
from authz_service.errors import StoreError
from authz_service.storage.from_url import store_from_url
from authz_service.testing.clock import ManualClock

MINUTE = (Charge(Rate(name="per-minute", limit=5, window_ms=60_000), 1),)


@asynccontextmanager
async def server_saying(folder: Path, *replies: bytes) -> AsyncIterator[str]:
    """Serve on a socket: each read is answered with the next of `replies`, the last for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(replies)
        try:
            while await reader.read(65_536):
                writer.write(left.pop(0) if len(left) > 1 else left[0])
        finally:
            writer.close()

    path = folder / "s"
    server = await asyncio.start_unix_server(talk, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        await server.wait_closed()
        path.unlink(missing_ok=True)


async def charge_once(url: str) -> Metered:
    """Charge over a store of its own."""
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=60)
    try:
        return await store.charge("key:a", MINUTE)
    finally:
        await store.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x70",
        b"*4\r\n:1\r\n:4\r\n:60000\r\n",
        b"$999999999999\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n:1\r\n:4\r\n:60000\r\n",
        b"*4\r\n:1\r\n:6\r\n:60000\r\n:0\r\n",
        b"*4\r\n:1\r\n:-1\r\n:60000\r\n:0\r\n",
        b"*4\r\n:1\r\n:4\r\n:-5\r\n:0\r\n",
        b"*4\r\n:1\r\n:0\r\n:60000\r\n:60000\r\n",
        b"*4\r\n:0\r\n:4\r\n:60000\r\n:0\r\n",
        b"*4\r\n:7\r\n:4\r\n:60000\r\n:0\r\n",
        b"*4\r\n$1\r\n1\r\n:4\r\n:60000\r\n:0\r\n",
        b"*2\r\n:2\r\n:99999999999999999\r\n",
        b"-ERR unknown command 'EVALSHA', with args beginning with: 'secret'\r\n",
        b"-NOSCRIPT No matching script\r\n",
        b"-\r\n",
    ],
)
async def test_nonsense_is_a_store_error(tmp_path: Path, reply: bytes) -> None:
    """Whatever follows a good log-in, the caller sees one kind of error, without quotations."""
    async with server_saying(tmp_path, b"+OK\r\n", reply) as url:
        with pytest.raises(StoreError) as caught:
            await charge_once(url)
    assert "secret" not in str(caught.value)


async def test_a_right_answer_is_believed(tmp_path: Path) -> None:
    """The server of these tests can speak well: the errors above come from what it says."""
    async with server_saying(tmp_path, b"+OK\r\n", b"*4\r\n:1\r\n:4\r\n:60000\r\n:0\r\n") as url:
        assert (await charge_once(url)).admitted


async def test_a_reply_that_nobody_asked_for_ends_the_connection(tmp_path: Path) -> None:
    """An answer too many would be taken for the next caller's: that caller gets a new socket."""
    answer = b"*4\r\n:1\r\n:4\r\n:60000\r\n:0\r\n"
    surplus = answer + answer.replace(b":4", b":2")
    async with server_saying(tmp_path, b"+OK\r\n", surplus) as url:
        store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=60)
        for _ in range(3):
            assert (await store.charge("key:a", MINUTE)).readings[0].remaining == 4
        await store.close()


async def test_a_refused_log_in_never_quotes_what_was_sent(tmp_path: Path) -> None:
    """Servers repeat unknown commands with their arguments; a password may be one."""
    reply = b"-ERR unknown command 'AUTH', with args beginning with: 'my-secret'\r\n"
    async with server_saying(tmp_path, reply) as url:
        with pytest.raises(StoreError, match=r"refused AUTH: ERR$"):
            await charge_once(url.replace("unix://", "unix://:my-secret@"))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reply=st.binary(min_size=1, max_size=60))
async def test_random_bytes_never_raise_anything_else(tmp_path: Path, reply: bytes) -> None:
    """From the first byte on: bytes that are no verdict end in `StoreError`."""
    async with server_saying(tmp_path, reply) as url:
        with pytest.raises(StoreError):
            await charge_once(url)


async def test_a_server_that_hangs_up_is_a_store_error(tmp_path: Path) -> None:
    """A connection closed instead of answered fails the call at once."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "s")
    with pytest.raises(StoreError):
        await charge_once(f"unix://{tmp_path}/s")
    server.close()
    await server.wait_closed()


async def test_a_server_that_refuses_is_not_stormed(tmp_path: Path) -> None:
    """Between failed attempts to connect there is a pause; calls in it fail without an attempt."""
    attempts = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(writer)
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "s")
    clock = ManualClock()
    url = f"unix://{tmp_path}/s"
    store = store_from_url(url, clock=clock, random=lambda: 0.5, timeout_ms=5_000)
    for expected in (1, 2, 3):
        for _ in range(20):
            with pytest.raises(StoreError):
                await store.charge("key:a", MINUTE)
        assert len(attempts) == expected
        clock.advance(1_000)
    await store.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "url", ["unix:///nowhere/s", "redis://127.0.0.1:1", "redis://nohost.invalid"]
)
async def test_nobody_there_is_a_store_error(url: str) -> None:
    """A missing socket, a closed port and an unknown host."""
    with pytest.raises(StoreError):
        await charge_once(url)
