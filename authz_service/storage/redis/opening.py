"""Ways to an open, logged-in socket. How long one may take is its caller's to say."""

import asyncio
from typing import Final, Protocol

import hiredis

from authz_service.errors import StoreError
from authz_service.storage.redis.endpoint import Endpoint
from authz_service.storage.redis.link import Command, Link
from authz_service.storage.redis.replies import UNFIT_SERVER, error_code

_CLIENT_NAME: Final = "authz_service"


class Opener(Protocol):
    """Opens links to one server, wherever it is at that moment. Its text says which."""

    async def open(self) -> Link:
        """Find the server, connect and log in.

        Raises:
            StoreError: that failed. Nothing is left open.
        """


class EndpointOpener:
    """Opens links to a server whose place is known."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s

    def __str__(self) -> str:
        return str(self._endpoint)

    async def open(self) -> Link:
        """Connect and log in.

        Raises:
            StoreError: that failed.
        """
        return await open_link(self._endpoint, timeout_s=self._timeout_s)


async def open_link(endpoint: Endpoint, *, timeout_s: float) -> Link:
    """Connect to a server and log in. `timeout_s` bounds every reply, and not the way there.

    Raises:
        StoreError: the server cannot be reached, or refused the log-in.
    """
    try:
        link = await _open_socket(endpoint, timeout_s)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is none
        reason = type(error).__name__
        raise StoreError(f"{endpoint} cannot be reached: {reason}") from error
    try:
        for command in _log_in_commands(endpoint):
            _check_accepted(command, await link.send(command))
    except BaseException:
        link.give_up("logging in to the counter store failed")
        raise
    return link


async def _open_socket(endpoint: Endpoint, timeout_s: float) -> Link:
    loop = asyncio.get_running_loop()

    def new_link() -> Link:
        return Link(timeout_s=timeout_s)

    if endpoint.path:
        _, link = await loop.create_unix_connection(new_link, endpoint.path)
    else:
        _, link = await loop.create_connection(
            new_link, endpoint.host, endpoint.port, ssl=endpoint.tls
        )
    return link


def _log_in_commands(endpoint: Endpoint) -> list[Command]:
    commands: list[Command] = []
    credentials = endpoint.credentials()
    if credentials:
        commands.append(("AUTH", *credentials))
    if endpoint.database:
        commands.append(("SELECT", endpoint.database))
    commands.append(("CLIENT", "SETNAME", _CLIENT_NAME))
    return commands


def _check_accepted(command: Command, reply: object) -> None:
    if not isinstance(reply, hiredis.ReplyError):
        return
    code = error_code(reply)
    # Managed servers have no such command, or forbid it in words of their own. Whoever may not name
    # the connection may still count, if the server can.
    if command[0] == "CLIENT" and code not in UNFIT_SERVER:
        return
    raise StoreError(f"the counter store refused {command[0]!s}: {code}")
