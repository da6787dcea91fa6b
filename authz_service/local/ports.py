"""Ports of the stack: the wanted one, or a free one where the wanted one is 0."""

import errno
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Protocol

from authz_service.errors import StackError

LOOPBACK = "127.0.0.1"

# Below where Linux and macOS let connections leave from: none takes the port before its part does.
_FREE = range(20_000, 32_000)
_TRIES = 100


class Claim(Protocol):
    """How a port is claimed."""

    def __call__(self, port: int, *, purpose: str, setting: str) -> int:
        """A port that can be listened on, other than all that were claimed before.

        Raises:
            StackError: it is taken, or not ours. The message names the setting to choose another.
        """


@contextmanager
def claims() -> Iterator[Claim]:
    """Hold what is claimed while the context lasts, so that no two parts get one free port."""
    with ExitStack() as held:

        def claim(port: int, *, purpose: str, setting: str) -> int:
            try:
                probe = _listening(port) if port else _listening_somewhere()
            except OSError as error:
                raise StackError(_problem(error, port, purpose, setting)) from error
            held.enter_context(probe)
            return int(probe.getsockname()[1])

        yield claim


def _listening(port: int) -> socket.socket:
    probe = socket.socket(socket.AF_INET)
    try:
        # A port that connections have just left can be listened on again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        probe.listen()
    except OSError:
        probe.close()
        raise
    return probe


def _listening_somewhere() -> socket.socket:
    for _ in range(_TRIES):
        with suppress(OSError):
            return _listening(secrets.choice(_FREE))
    return _listening(0)


def _problem(error: OSError, port: int, purpose: str, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} for {purpose} is taken: choose another with {setting}=PORT"
    return f"port {port} for {purpose} cannot be used: {error.strerror}"
