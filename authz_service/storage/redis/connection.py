"""A connection that is there when needed: made on the first call, made again when lost."""

import asyncio
from typing import Final

import hiredis

from authz_service.clock import Clock
from authz_service.errors import StoreError
from authz_service.storage.base import InconclusiveError
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.endpoint import Endpoint
from authz_service.storage.redis.link import Command, Link
from authz_service.storage.redis.replies import error_code, is_unfit_server

_CONNECT_TIMEOUT_S: Final = 1.0  # TCP, TLS and log-in together; callers wait less than that
_CLIENT_NAME: Final = "authz_service"


class Connection:
    """One multiplexed connection to one Redis server.

    No call waits longer than `timeout_s`, whether for the connection or for the reply. An attempt
    to connect outlives the call that started it and serves the next one. A server that says it
    cannot serve is left: the next call looks its address up again, as after a lost connection.
    """

    def __init__(
        self, endpoint: Endpoint, *, clock: Clock, backoff: Backoff, timeout_s: float
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._backoff = backoff
        self._timeout_s = timeout_s
        self._link: Link | None = None
        self._attempt: asyncio.Task[Link] | None = None
        self._closed = False

    async def call(self, command: Command) -> object:
        """Send a command and return its reply; an error reply is returned, not raised.

        Raises:
            InconclusiveError: not asked, so soon after an attempt to connect that failed.
            StoreError: no connection or no reply in time.
        """
        link = self._link
        if link is None or not link.is_open:
            return await self._call_once_connected(command)
        return self._received(link, await link.send(command))

    async def close(self) -> None:
        """Close the socket. Calls after this raise `StoreError`."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self._link is not None:
            self._link.give_up("the counter store is closed")
            await self._link.closed()

    async def _call_once_connected(self, command: Command) -> object:
        try:
            async with asyncio.timeout(self._timeout_s):
                attempt = self._connecting()
                # Not awaited itself: a caller who gives up must not cancel it for the others.
                await asyncio.wait([attempt])
                if attempt.cancelled():
                    raise StoreError("the counter store is closed")
                link = attempt.result()
                return self._received(link, await link.send(command))
        except TimeoutError:
            raise StoreError(f"no connection to {self._endpoint} in time") from None

    def _received(self, link: Link, reply: object) -> object:
        if link.is_open and isinstance(reply, hiredis.ReplyError) and is_unfit_server(reply):
            self._backoff.failed(self._clock.monotonic_ms())
            link.give_up(f"{self._endpoint} cannot serve: {error_code(reply)}")
        return reply

    def _connecting(self) -> asyncio.Task[Link]:
        if self._closed:
            raise StoreError("the counter store is closed")
        if self._attempt is None:
            if not self._backoff.is_over(self._clock.monotonic_ms()):
                raise InconclusiveError(f"no connection to {self._endpoint} yet")
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
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                link = await self._open_socket()
                await self._log_in(link)
                self._link = link
                return link
        except TimeoutError:
            raise StoreError(f"{self._endpoint} does not accept a connection in time") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is none
            reason = type(error).__name__
            raise StoreError(f"{self._endpoint} cannot be reached: {reason}") from error

    async def _open_socket(self) -> Link:
        loop = asyncio.get_running_loop()
        endpoint = self._endpoint
        if endpoint.path:
            _, link = await loop.create_unix_connection(self._new_link, endpoint.path)
        else:
            _, link = await loop.create_connection(
                self._new_link, endpoint.host, endpoint.port, ssl=endpoint.tls
            )
        return link

    def _new_link(self) -> Link:
        return Link(timeout_s=self._timeout_s)

    async def _log_in(self, link: Link) -> None:
        try:
            for command in _log_in_commands(self._endpoint):
                _check_accepted(command, await link.send(command))
        except BaseException:
            link.give_up("logging in to the counter store failed")
            raise


def _log_in_commands(endpoint: Endpoint) -> list[Command]:
    commands: list[Command] = []
    if endpoint.password:
        user = (endpoint.username,) if endpoint.username else ()
        commands.append(("AUTH", *user, endpoint.password))
    if endpoint.database:
        commands.append(("SELECT", endpoint.database))
    commands.append(("CLIENT", "SETNAME", _CLIENT_NAME))
    return commands


def _check_accepted(command: Command, reply: object) -> None:
    if not isinstance(reply, hiredis.ReplyError):
        return
    code = error_code(reply)
    if code == "NOPERM" and command[0] == "CLIENT":
        return  # a user who may not name the connection may still count
    raise StoreError(f"the counter store refused {command[0]!s}: {code}")
