"""One open socket to a Redis server: commands out, replies in, in order and in time."""

import asyncio
from collections import deque
from typing import Final, cast

import hiredis

from authz_service.errors import StoreError

Command = tuple[str | bytes | int, ...]
"""A Redis command, word by word."""

_INCOMPLETE: Final = object()
# After a stall of this process the timer can come before the replies that lie in the socket: give
# the event loop one more turn to read them before the server is blamed.
_GRACE_S: Final = 0.001


class Link(asyncio.Protocol):
    """Many callers, one socket. Made by `loop.create_connection`; not for use after it closed.

    All commands of one turn of the event loop leave in one write. The server answers in order, so
    the oldest waiter is always the next to be answered and the first to run out of time: one timer
    watches it for all. A server that is late once is given up, because whatever it still sends
    could no longer be told apart.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._waiting: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._outgoing: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._gone = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    def send(self, command: Command) -> asyncio.Future[object]:
        """Send a command; the future holds the reply as hiredis reads it.

        Cancelling the future abandons the reply and nothing else.

        Raises:
            StoreError: the socket is closed; later, from the future: no reply in time, the socket
                was lost, or what came was no reply.
        """
        if self._transport is None:
            raise StoreError("the connection to the counter store is closed")
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type] # stub: one word
        reply: asyncio.Future[object] = self._loop.create_future()
        deadline = self._loop.time() + self._timeout_s
        self._waiting.append((deadline, reply))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_deadline)
        return reply

    def give_up(self, reason: str) -> None:
        """Close the socket now. Whoever waits gets a `StoreError` with the reason."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _, reply = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(StoreError(reason))

    async def closed(self) -> None:
        """Wait until the operating system has the socket back."""
        await self._gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        # A cast because uvloop's transports keep the interface without inheriting it.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Called by the event loop, once, last."""
        self.give_up("the counter store closed the connection")
        if not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                _, waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(reply)
        except (hiredis.HiredisError, MemoryError, IndexError):
            # No RESP, a length beyond reason, or a reply that nobody asked for.
            self.give_up("the counter store sent something that is no reply")

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _check_deadline(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        deadline, oldest = self._waiting[0]
        if deadline > self._loop.time():
            self._timer = self._loop.call_at(deadline, self._check_deadline)
        else:
            self._timer = self._loop.call_later(_GRACE_S, self._give_up_on, oldest)

    def _give_up_on(self, late: asyncio.Future[object]) -> None:
        if self._waiting and self._waiting[0][1] is late:
            self.give_up("the counter store did not answer in time")
        else:
            self._check_deadline()
