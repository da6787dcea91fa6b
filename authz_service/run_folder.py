"""The run folder belongs to one service at a time; its Envoy has a socket in it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from authz_service.errors import ListenError

ADMIN_SOCKET: Final = "envoy-admin.sock"
"""Where Envoy's admin interface listens."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder while the context lasts; the kernel lets go of it when the process ends.

    Raises:
        ListenError: another service holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise ListenError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ListenError(f"another service runs in {folder}: choose another folder") from None
        yield
