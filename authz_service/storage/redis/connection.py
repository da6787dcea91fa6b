"""A connection that is there when needed: made on the first call, made again when lost."""

import asyncio
from typing import Final

import hiredis

from authz_service.clock import Clock
from authz_service.errors import StoreError
from authz_service.storage.base import InconclusiveError
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.link import Command, Link
from authz_service.storage.redis.opening import Opener
from authz_service.storage.redis.replies import UNFIT_SERVER, error_code
from authz_service.storage.redis.script import Script

# From finding the server to being logged in; callers wait less than that.
_ATTEMPT_TIMEOUT_S: Final = 1.0


class Connection:
    """One multiplexed connection to one Redis server.

    No call waits longer than `timeout_s`, whether for the connection or for the reply; a script
    that has to be sent first is two calls more. An attempt to connect outlives the call that
    started it and serves the next one. A server that says it cannot serve, by one of the codes
    `unfit`, is left: the next call looks for it again, as after a lost connection.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        clock: Clock,
        backoff: Backoff,
        timeout_s: float,
        unfit: frozenset[str] = UNFIT_SERVER,
    ) -> None:
        self._opener = opener
        self._clock = clock
        self._backoff = backoff
        self._timeout_s = timeout_s
        self._unfit = unfit
        self._link: Link | None = None
        self._attempt: asyncio.Task[Link] | None = None
        self._closed = False

    async def connect(self) -> None:
        """Connect now, if that is still to be done: one attempt, for a second at most.

        Raises:
            InconclusiveError: not tried, so soon after an attempt that failed.
            StoreError: no connection.
        """
        if self._link is None or not self._link.is_open:
            await self._connected()

    async def call(
        self,
        command: Command,
        key: bytes,  # noqa: ARG002 - one server serves all keys
        *,
        script: Script | None = None,
        asking: bool = False,
    ) -> object:
        """Send a command and return its reply; an error reply is returned, not raised.

        A server that does not know `script` is sent it, and the command once more. `asking` tells
        a node of a cluster that another one sent us here.

        Raises:
            InconclusiveError: not asked, so soon after an attempt to connect that failed.
            StoreError: no connection or no reply in time.
        """
        reply = await self._call(command, asking=asking)
        if script is None or not isinstance(reply, hiredis.ReplyError):
            return reply
        if error_code(reply) != "NOSCRIPT":
            return reply
        await self._call(("SCRIPT", "LOAD", script.text))
        return await self._call(command, asking=asking)

    @property
    def has_slots(self) -> bool:
        """A script may touch all keys of one server."""
        return False

    def slot_of(self, key: bytes) -> int:  # noqa: ARG002 - the same for all
        """All keys share it."""
        return 0

    def part_of(self, key: bytes) -> str:  # noqa: ARG002 - the same for all
        """One server is one part."""
        return ""

    async def close(self) -> None:
        """Close the socket. Calls after this raise `StoreError`."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self._link is not None:
            self._link.give_up("the counter store is closed")
            await self._link.closed()

    async def _call(self, command: Command, *, asking: bool = False) -> object:
        link = self._link
        if link is None or not link.is_open:
            return await self._call_once_connected(command, asking=asking)
        return self._received(link, await _send(link, command, asking=asking))

    async def _call_once_connected(self, command: Command, *, asking: bool) -> object:
        try:
            async with asyncio.timeout(self._timeout_s):
                link = await self._connected()
                return self._received(link, await _send(link, command, asking=asking))
        except TimeoutError:
            raise StoreError(f"no connection to {self._opener} in time") from None

    async def _connected(self) -> Link:
        attempt = self._connecting()
        # Not awaited itself: a caller who gives up must not cancel it for the others.
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise StoreError("the counter store is closed")
        return attempt.result()

    def _received(self, link: Link, reply: object) -> object:
        if isinstance(reply, hiredis.ReplyError) and link.is_open:
            code = error_code(reply)
            if code in self._unfit:
                self._backoff.failed(self._clock.monotonic_ms())
                link.give_up(f"{self._opener} cannot serve: {code}")
        return reply

    def _connecting(self) -> asyncio.Task[Link]:
        if self._closed:
            raise StoreError("the counter store is closed")
        if self._attempt is None:
            if not self._backoff.is_over(self._clock.monotonic_ms()):
                raise InconclusiveError(f"no connection to {self._opener} yet")
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(self._attempted)
        return self._attempt

    def _attempted(self, attempt: asyncio.Task[Link]) -> None:
        self._attempt = None
        if attempt.cancelled():
            return
        if attempt.exception() is not None:
            self._backoff.failed(self._clock.monotonic_ms())

    async def _connect(self) -> Link:
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                self._link = await self._opener.open()
                return self._link
        except TimeoutError:
            raise StoreError(f"{self._opener} does not accept a connection in time") from None


def _send(link: Link, command: Command, *, asking: bool) -> asyncio.Future[object]:
    if asking:
        link.send(("ASKING",)).cancel()  # its reply says nothing; both leave in one write
    return link.send(command)
