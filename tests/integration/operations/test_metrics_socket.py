"""A worker's exposition over a real Unix socket."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from authz_service.errors import ListenError
from authz_service.transports import metrics_socket
from authz_service.transports.metrics_socket import MetricsSocket, fetch

LONG = b"x" * (4 << 20)  # more than the kernel's buffers hold
SOON = 5.0


@asynccontextmanager
async def serving(path: Path, exposition: Callable[[], bytes]) -> AsyncIterator[None]:
    """The socket, for as long as the block lasts."""
    served = MetricsSocket(path, exposition=exposition)
    await served.start()
    try:
        yield
    finally:
        await served.stop()


async def until_answered(path: Path) -> None:
    """Wait until there is room for one more reader."""
    async with asyncio.timeout(SOON):
        while not await fetch(path, SOON):
            pass


async def test_the_whole_text_arrives(folder: Path) -> None:
    """Each connection gets the text of its own moment."""
    texts = iter([b"first", LONG])
    async with serving(folder / "m", lambda: next(texts)):
        assert await fetch(folder / "m", SOON) == b"first"
        assert await fetch(folder / "m", SOON) == LONG


async def test_only_its_user_may_ask(folder: Path) -> None:
    """Mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        async with serving(folder / "m", lambda: b""):
            assert stat.S_IMODE((folder / "m").stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_nothing_is_left_behind(folder: Path) -> None:
    """The path is gone, and whoever still reads is cut off."""
    async with serving(folder / "m", lambda: LONG):
        reader, writer = await asyncio.open_unix_connection(folder / "m", limit=1024)
        received = await reader.read(1024)
    assert not (folder / "m").exists()
    async with asyncio.timeout(SOON):
        received += await reader.read()
    writer.close()
    assert 0 < len(received) < len(LONG)


async def test_what_a_killed_worker_left_makes_way(folder: Path) -> None:
    """Its successor listens at the same path."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(folder / "m"))  # closing does not remove the path, as dying does not
    assert (folder / "m").is_socket()
    async with serving(folder / "m", lambda: b"new"):
        assert await fetch(folder / "m", SOON) == b"new"


async def test_a_path_that_cannot_be_had_is_an_error(folder: Path) -> None:
    """No folder, somebody's file, a name too long for a socket."""
    precious = folder / "file"
    precious.touch()
    for path in (folder / "none" / "m", folder / "file", folder / ("m" * 120)):
        with pytest.raises(ListenError, match="cannot listen on unix:"):
            await MetricsSocket(path, exposition=lambda: b"").start()
    assert precious.is_file()


async def test_a_defect_in_a_collector_is_an_empty_text(folder: Path) -> None:
    """The reader is told nothing, and the next one is served."""
    broken = iter([True, False])

    def exposition() -> bytes:
        if next(broken):
            raise RuntimeError("planted")
        return b"fine"

    async with serving(folder / "m", exposition):
        assert await fetch(folder / "m", SOON) == b""
        assert await fetch(folder / "m", SOON) == b"fine"


async def test_readers_are_bounded_and_have_a_deadline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who do not read keep others out only until their time is up."""
    monkeypatch.setattr(metrics_socket, "_DEADLINE_SECONDS", 0.3)
    idle = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    async with serving(folder / "m", lambda: LONG):
        for reader in idle:
            reader.connect(str(folder / "m"))
        assert await fetch(folder / "m", SOON) == b""
        await until_answered(folder / "m")
    for reader in idle:
        reader.close()


async def test_who_does_not_answer_is_given_up(folder: Path) -> None:
    """Whether nobody is there, or somebody who says nothing."""
    with pytest.raises(OSError, match="No such file"):
        await fetch(folder / "m", SOON)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "m"))
        silent.listen()
        with pytest.raises(TimeoutError):
            await fetch(folder / "m", 0.05)


async def test_a_text_without_end_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before it fills the memory."""
    monkeypatch.setattr(metrics_socket, "_MAX_BYTES", 1 << 20)
    async with serving(folder / "m", lambda: LONG):
        with pytest.raises(OSError, match="longer than 1048576 bytes"):
            await fetch(folder / "m", SOON)
