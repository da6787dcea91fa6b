"""Containers without an engine: an image's command under the rules that a cluster would set.

Root file system read-only, the image's own user, no new privileges, a loopback interface and no
other. What the command may write is mounted: a fresh /tmp, and the folders that a test names.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from tests.deploy.images import Image
from tests.deploy.tools import tool

T = TypeVar("T")

# Ends in the command itself, so a signal to the process is a signal to it.
_ENTER: Final = """
set -eu
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec setpriv --no-new-privs chroot --userspec="$user" "$root" "$@"
"""
_ASK: Final = """
import sys, urllib.error, urllib.request
try:
    headers = {"X-API-Key": sys.argv[2]} if sys.argv[2] else {}
    answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=5)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
"""


@dataclass(slots=True)
class Pod:
    """A network of its own, where every port is free, and the containers in it."""

    holder: int
    logs: Path
    mounts: Mapping[Path, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def raise_loopback(self) -> None:
        """Give the network its only interface."""
        up = (*self._network(), str(tool("ip")), "link", "set", "lo", "up")
        subprocess.run(up, check=True, timeout=10)

    def start(
        self, image: Image, *command: str, name: str = "", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start an image, with its own command unless there is another."""
        arguments = command or image.command
        with (self.logs / f"{name or image.name}.log").open("wb") as log:
            # As engines do: Envoy opens its standard output a second time, as the image's user.
            os.fchown(log.fileno(), *map(int, image.user.split(":")))
            process = subprocess.Popen(
                self._inside(image, (*image.entrypoint, *arguments), environment),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return process

    def run(self, image: Image, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another program of an image to its end."""
        return subprocess.run(
            self._inside(image, command, {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    def status(self, url: str, *, key: str = "") -> int:
        """The status of an answer; 0 without one."""
        asked = subprocess.run(
            [*self._network(), sys.executable, "-I", "-c", _ASK, url, key],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return int(asked.stdout or 0)

    def stop(self) -> None:
        """End whatever still runs, the last one first."""
        for process in reversed(self.running):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def _network(self) -> tuple[str, ...]:
        return (str(tool("nsenter")), "--target", str(self.holder), "--net")

    def _inside(
        self, image: Image, command: Sequence[str], environment: Mapping[str, str]
    ) -> list[str]:
        variables = {**image.environment, **environment}
        mounted = [
            part
            for source, target in self.mounts.items()
            if (image.root / target.removeprefix("/")).is_dir()
            for part in (str(source), target)
        ]
        return [
            *self._network(),
            *(str(tool("unshare")), "--mount", "sh", "-c", _ENTER, "enter"),
            *(str(image.root), image.user, *mounted, "--"),
            *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *command,
        ]


@contextmanager
def pod(logs: Path, mounts: Mapping[Path, str]) -> Iterator[Pod]:
    """A network that lasts as long as the context, and with it all that runs there."""
    holder = subprocess.Popen([tool("unshare"), "--net", "sleep", "infinity"])
    made = Pod(holder.pid, logs, mounts)
    try:
        until(lambda: _own_network(holder.pid), "network")
        made.raise_loopback()
        yield made
    finally:
        made.stop()
        holder.send_signal(signal.SIGKILL)
        holder.wait(5)


def _own_network(process: int) -> bool:
    return Path(f"/proc/{process}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def until(attempt: Callable[[], T | None], what: str, *, within_s: float = 40.0) -> T:
    """The first result that is not empty.

    Raises:
        TimeoutError: it stayed empty.
    """
    ends = time.perf_counter() + within_s
    while time.perf_counter() < ends:
        if result := attempt():
            return result
        time.sleep(0.1)
    raise TimeoutError(f"no {what} within {within_s} s")
