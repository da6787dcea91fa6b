"""What stands between each worker and the store, and can strike in the moment that matters."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

_ARRAY: Final = b"*"  # how the script's answer begins; errors and plain OKs begin otherwise
_CHUNK_BYTES: Final = 65_536


class Relay:
    """A socket for each worker that passes everything on, on a thread of its own.

    After `ambush`, the first worker that would hear of a charge it made is killed instead: the
    store has charged, and nobody was told.
    """

    def __init__(self, store: str, sockets: Sequence[Path]) -> None:
        self.charges = [0 for _ in sockets]
        self.killed: list[int] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._store = store
        self._sockets = sockets
        self._is_ambushed = False
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Listen on every socket."""
        self._thread.start()
        assert self._listens.wait(10)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def ambush(self) -> None:
        """Kill the next worker whose charge was taken."""
        self._is_ambushed = True

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with AsyncExitStack() as servers:
            for worker, path in enumerate(self._sockets):
                connected = partial(self._connected, worker)
                server = await asyncio.start_unix_server(connected, path)
                servers.callback(server.close)
            self._listens.set()
            await self._ended.wait()

    async def _connected(
        self, worker: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        store_reader, store_writer = await asyncio.open_unix_connection(self._store)
        questions = asyncio.create_task(self._pass_questions(worker, reader, store_writer))
        try:
            await self._pass_answers(worker, store_reader, writer)
        finally:
            questions.cancel()
            store_writer.close()
            writer.close()

    async def _pass_questions(
        self, worker: int, reader: asyncio.StreamReader, store: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            self.charges[worker] += data.count(b"EVALSHA")
            store.write(data)
        store.close()

    async def _pass_answers(
        self, worker: int, store: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await store.read(_CHUNK_BYTES):
            if self._is_ambushed and data.startswith(_ARRAY):
                self._is_ambushed = False
                self.workers[worker].kill()
                self.killed.append(worker)
                return
            writer.write(data)
