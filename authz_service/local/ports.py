"""Ports of the stack: the wanted one, or a free one where the wanted one is 0."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from authz_service.errors import StackError

LOOPBACK = "127.0.0.1"


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
            probe = held.enter_context(socket.socket(socket.AF_INET))
            # A port that connections have just left can be listened on again.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                probe.listen()
            except OSError as error:
                raise StackError(_problem(error, port, purpose, setting)) from error
            return int(probe.getsockname()[1])

        yield claim


def _problem(error: OSError, port: int, purpose: str, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} for {purpose} is taken: choose another with {setting}=PORT"
    return f"port {port} for {purpose} cannot be used: {error.strerror}"
