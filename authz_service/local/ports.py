"""Ports of the stack: the wanted one, or a free one where the wanted one is 0."""

import socket

from authz_service.errors import StackError

LOOPBACK = "127.0.0.1"


def claim(port: int, *, purpose: str, setting: str) -> int:
    """A port that can be listened on now.

    Raises:
        StackError: the port is taken. The message names the setting that chooses another.
    """
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise StackError(
                f"port {port} for {purpose} is taken: choose another with {setting}=PORT"
                if port
                else f"no port for {purpose}: {error.strerror}"
            ) from error
        return int(probe.getsockname()[1])
