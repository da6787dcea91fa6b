"""A server that answers, but not as Redis does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.clock import Clock, SystemClock
from authz_service.core.meter import Metered, Scope
from authz_service.core.rules import Charge, Rate, StoreFailure
from authz_service.errors import StoreError
from authz_service.observe.metrics import Metrics
from authz_service.storage.base import InconclusiveError
from authz_service.storage.breaker import INCIDENTS_TO_OPEN
from authz_service.storage.failover import FailoverStore
from authz_service.storage.from_url import store_from_url
from authz_service.storage.stand_in import StandIn
from authz_service.testing.clock import ManualClock

ANSWER = b"*4\r\n:1\r\n:4\r\n:60000\r\n:0\r\n"
MINUTE = (Charge(Rate(name="per-minute", limit=5, window_ms=60_000), 1),)
DENIED = tuple(replace(charge, on_store_failure=StoreFailure.DENY) for charge in MINUTE)


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


def replies(read: bytes, to_charge: bytes) -> bytes:
    """Return what to send for the commands that came in one read: log-ins always succeed."""
    return b"+OK\r\n" * read.count(b"SETNAME") + to_charge * read.count(b"EVALSHA")


class Refusing:
    """A server that answers charges with an error on every connection made while it `refuses`."""

    def __init__(self, url: str, refusal: str) -> None:
        self.url = url
        self.refuses = True
        self.connections = 0
        self._refusal = f"-{refusal}\r\n".encode()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; what it says of charges is settled when it begins."""
        self.connections += 1
        answer = self._refusal if self.refuses else ANSWER
        try:
            while read := await reader.read(65_536):
                writer.write(replies(read, answer))
        finally:
            writer.close()


@asynccontextmanager
async def server_refusing(folder: Path, refusal: str) -> AsyncIterator[Refusing]:
    """Serve on a socket, refusing every charge at first."""
    refusing = Refusing(f"unix://{folder}/s", refusal)
    server = await asyncio.start_unix_server(refusing.talk, folder / "s")
    try:
        yield refusing
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def failing_over(
    url: str, clock: Clock, *, timeout_ms: int = 5_000
) -> AsyncIterator[FailoverStore]:
    """Open a store as it is deployed, but for the time a reply may take."""
    shared = store_from_url(url, clock=clock, random=lambda: 0.5, timeout_ms=timeout_ms)
    store = FailoverStore(shared, stand_in=StandIn(clock), clock=clock, metrics=Metrics())
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize(
    "refusal",
    [
        "READONLY You can't write against a read only replica. script: on @user_script:111.",
        "NOREPLICAS Not enough good replicas to write. script: on @user_script:111.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "NOAUTH Authentication required.",
    ],
)
async def test_a_server_that_cannot_serve_is_left(tmp_path: Path, refusal: str) -> None:
    """All calls in flight cost one connection; after the pause the next one looks for a server."""
    clock = ManualClock()
    async with (
        server_refusing(tmp_path, refusal) as server,
        failing_over(server.url, clock) as store,
    ):
        calls = (store.charge(f"key:{n}", DENIED) for n in range(20))
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {StoreError}
        server.refuses = False
        with pytest.raises(InconclusiveError, match="no connection"):
            await store.charge("key:a", DENIED)
        assert server.connections == 1
        clock.advance(20)
        answer = await store.charge("key:a", MINUTE)
        assert (answer.scope, server.connections) == (Scope.SHARED, 2)


async def test_a_server_that_never_serves_is_not_stormed(tmp_path: Path) -> None:
    """That it accepts connections does not shorten the pauses between them."""
    clock = ManualClock()
    async with server_refusing(tmp_path, "LOADING") as server:
        store = store_from_url(server.url, clock=clock, random=lambda: 0.5, timeout_ms=5_000)
        for _ in range(1_000):
            with pytest.raises(StoreError):
                await store.charge("key:a", MINUTE)
            clock.advance(1)
        assert server.connections == 7  # at 0, 15, 45, 105, 225, 465 and 840 ms
        await store.close()


@pytest.mark.parametrize(
    ("refusal", "opens"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value script: on", False),
        ("ERR user_script:78: bad argument #2 to 'unpack_number' (data string too short)", False),
        ("TRYAGAIN Multiple keys request during rehashing of slot", False),
        ("ERR unknown command 'EVALSHA'", True),
        ("ERR syntax error script: on @user_script:111.", True),
        ("OOM command not allowed when used memory > 'maxmemory'. script: on", True),
        ("NOPERM User authz has no permissions to run the 'evalsha' command", True),
    ],
)
async def test_an_error_of_one_key_does_not_condemn_the_server(
    tmp_path: Path, refusal: str, *, opens: bool
) -> None:
    """It fails its own request, however often; any other error opens the breaker. Both stay."""
    async with (
        server_refusing(tmp_path, refusal) as server,
        failing_over(server.url, ManualClock()) as store,
    ):
        for _ in range(2 * INCIDENTS_TO_OPEN):
            answer = await store.charge("key:a", MINUTE)
            assert answer.scope is Scope.LOCAL
        assert store.is_failing is opens
        assert server.connections == 1


@asynccontextmanager
async def server_stopping(folder: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Serve on a socket while the event is set; requests that come meanwhile are kept."""
    goes_on = asyncio.Event()
    goes_on.set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while read := await reader.read(65_536):
                await goes_on.wait()
                writer.write(replies(read, ANSWER))
        finally:
            writer.close()

    server = await asyncio.start_unix_server(talk, folder / "s")
    try:
        yield f"unix://{folder}/s", goes_on
    finally:
        goes_on.set()
        server.close()
        await server.wait_closed()


async def test_one_late_reply_does_not_open_the_breaker(tmp_path: Path) -> None:
    """Eight calls wait for a server that stops for longer than they may; the ninth is shared."""
    async with (
        server_stopping(tmp_path) as (url, goes_on),
        failing_over(url, SystemClock(), timeout_ms=200) as store,
    ):

        async def charge() -> Scope:
            return (await store.charge("key:a", MINUTE)).scope

        assert await charge() is Scope.SHARED
        goes_on.clear()
        assert await asyncio.gather(*(charge() for _ in range(8))) == [Scope.LOCAL] * 8
        assert not store.is_failing
        goes_on.set()
        assert await charge() is Scope.SHARED


@pytest.mark.parametrize(
    "url", ["unix:///nowhere/s", "redis://127.0.0.1:1", "redis://nohost.invalid"]
)
async def test_nobody_there_is_a_store_error(url: str) -> None:
    """A missing socket, a closed port and an unknown host."""
    with pytest.raises(StoreError):
        await charge_once(url)
