"""One Valkey process on a loopback port: a part of the set-ups in this folder."""

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import redis

from tests.conformance.storage.server import VALKEY

HOST: Final = "127.0.0.1"
# Below the ports that the kernel gives to clients: a node comes back on the port it had.
_PORTS: Final = range(20_000, 32_000)
_PAUSE_S: Final = 0.02

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    found: set[int] = set()
    while len(found) < count:
        port = secrets.choice(_PORTS)
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if attempt.connect_ex((HOST, port)) != 0:
                found.add(port)
    return list(found)


def until(attempt: Callable[[], T | None], what: str, *, within_s: float = 30.0) -> T:
    """Return the first result that is not empty; a server that does not answer yet is no error.

    Raises:
        TimeoutError: it stayed empty.
    """
    ends = time.perf_counter() + within_s
    while time.perf_counter() < ends:
        try:
            result = attempt()
        except redis.RedisError:
            result = None
        if result:
            return result
        time.sleep(_PAUSE_S)
    raise TimeoutError(f"no {what} within {within_s} s")


class Node:
    """One process, its folder, and a client for the test's own questions (`admin`, text)."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = port
        self.arguments = list(arguments)
        self.admin = redis.Redis(
            host=HOST, port=port, decode_responses=True, socket_timeout=5, socket_connect_timeout=5
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._is_paused = False

    @property
    def is_running(self) -> bool:
        """Whether there is a process; it may be paused."""
        return self._process is not None

    @property
    def is_going(self) -> bool:
        """Whether there is a process, and it is not paused."""
        return self._process is not None and not self._is_paused

    def start(self) -> None:
        """Start the process; `answers` says when it is up."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([VALKEY, *self.arguments], stdout=log, stderr=log)

    def answers(self) -> bool:
        """Whether it answers.

        Raises:
            RedisError: it does not.
        """
        return bool(self.admin.ping())

    def ask(self, *words: str | int) -> Any:  # noqa: ANN401 - as many forms as commands
        """Send any command and return the reply, read as redis-py does.

        Raises:
            RedisError: it failed.
        """
        return self.admin.execute_command(*words)  # type: ignore[no-untyped-call]

    def kill(self) -> None:
        """End the process as the kernel does when memory runs out."""
        assert self._process is not None, "it is not running"
        self._process.kill()
        self._process.wait()
        self._process = None
        self._is_paused = False
        self.admin.connection_pool.disconnect()

    def pause(self) -> None:
        """Stop the process without closing its sockets: it is there and says nothing."""
        self._signal(signal.SIGSTOP)
        self._is_paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)
        self._is_paused = False

    def close(self) -> None:
        """End the process if there is one, and let go of the client."""
        if self._process is not None:
            self.kill()
        self.admin.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)
