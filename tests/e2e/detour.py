"""A socket in front of a store that delays its replies, or cuts them off in the middle."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from authz_service.clock import stopwatch

_CHUNK_BYTES: Final = 65_536
_Reply = tuple[float, bytes]  # not to be passed on before this moment of the stopwatch


class Detour:
    """Passes on everything, on a thread of its own. What it does to replies may change any time."""

    def __init__(self, store: str, path: Path) -> None:
        self.delay_s = 0.0
        self.cuts = False
        self.path = path
        self._store = store
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._listens.wait(10)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._connected, self.path)
        self._listens.set()
        await self._ended.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            store_reader, store_writer = await asyncio.open_unix_connection(self._store)
        except OSError:
            writer.close()
            return
        replies: asyncio.Queue[_Reply] = asyncio.Queue()
        ways = [
            asyncio.create_task(self._pass_commands(reader, store_writer)),
            asyncio.create_task(self._receive(store_reader, replies)),
            asyncio.create_task(self._pass_replies(replies, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            store_writer.close()

    async def _pass_commands(
        self, reader: asyncio.StreamReader, store: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                store.write(data)

    async def _receive(self, store: asyncio.StreamReader, replies: "asyncio.Queue[_Reply]") -> None:
        with suppress(OSError):
            while data := await store.read(_CHUNK_BYTES):
                replies.put_nowait((stopwatch() + self.delay_s, data))

    async def _pass_replies(
        self, replies: "asyncio.Queue[_Reply]", writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due_s, data = await replies.get()
            await asyncio.sleep(due_s - stopwatch())
            if self.cuts:
                writer.write(data[: len(data) // 2])
                return
            writer.write(data)
