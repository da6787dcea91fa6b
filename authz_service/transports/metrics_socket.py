"""A worker's exposition on a Unix socket: connect, read to the end, done. And how to ask for it."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import structlog

from authz_service.errors import ListenError

_DEADLINE_SECONDS: Final = 5.0
_MAX_READERS: Final = 4
_MAX_BYTES: Final = 16 << 20
_OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 8

_log = structlog.get_logger(__name__)


class MetricsSocket:
    """Gives the exposition of the moment to whoever connects. Only our own user can."""

    def __init__(self, path: Path, *, exposition: Callable[[], bytes]) -> None:
        self._path = path
        self._exposition = exposition
        self._readers: set[asyncio.WriteTransport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. What a killed worker left at the path makes way.

        Raises:
            ListenError: the path cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            listener = _bind(self._path)
            self._server = await loop.create_unix_server(
                lambda: _Answer(self._exposition, self._readers), sock=listener, backlog=_BACKLOG
            )
        except OSError as error:
            raise ListenError(f"cannot listen on unix:{self._path}: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening, cut off whoever still reads, and remove the path."""
        if self._server is None:
            return
        self._server.close()
        for reader in tuple(self._readers):
            reader.abort()
        await asyncio.sleep(0)  # the loop cuts them off in its next round
        self._path.unlink(missing_ok=True)


class _Answer(asyncio.Protocol):
    """One connection: everything is written at once, and the connection ends when it is sent."""

    def __init__(
        self, exposition: Callable[[], bytes], readers: set[asyncio.WriteTransport]
    ) -> None:
        self._exposition = exposition
        self._readers = readers
        self._transport: asyncio.WriteTransport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast because uvloop's transports keep the interface without inheriting it.
        writer = cast("asyncio.WriteTransport", transport)
        if len(self._readers) >= _MAX_READERS:
            writer.close()
            return
        self._transport = writer
        self._readers.add(writer)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_DEADLINE_SECONDS, writer.abort)
        try:
            writer.write(self._exposition())
        except Exception:  # noqa: BLE001 - whatever a collector does wrong
            # A collector's defect must not become the loop's; the reader sees an empty text.
            _log.exception("exposition failed")
        writer.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._transport is not None:
            self._readers.discard(self._transport)


async def fetch(path: Path, timeout_s: float) -> bytes:
    """The exposition of the worker that serves at `path`.

    Raises:
        OSError: nobody serves there, not in time (`TimeoutError`), or it never ends.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            return await _read_all(reader)
        finally:
            writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    text = bytearray()
    while chunk := await reader.read(1 << 16):
        text += chunk
        if len(text) > _MAX_BYTES:
            raise OSError(f"an exposition is longer than {_MAX_BYTES} bytes")
    return bytes(text)


def _bind(path: Path) -> socket.socket:
    """A socket at `path` that nobody can connect to yet: its mode is set before it listens."""
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(_OWNER_ONLY)
    except OSError:
        listener.close()
        raise
    return listener
