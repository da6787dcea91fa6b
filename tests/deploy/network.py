"""The network of a pod: a namespace with a loopback address and that of the pod, and nothing else.

Executed as a file inside the namespace it answers on a Unix socket: whoever sends the number of a
port gets a connection to it, made in there to the address of the pod, as all come that come from
outside.
"""

import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from typing import Final

ADDRESS: Final = "10.0.0.7"
"""The address of every pod; each has a network of its own."""

_SIOCSIFFLAGS: Final = 0x8914  # netdevice(7)
_SIOCSIFADDR: Final = 0x8916
_IFF_UP: Final = 1
_TIMEOUT_S: Final = 10.0
_BYTES: Final = 16


class Network:
    """The namespace, and with it the user that is root in there."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "network.sock"
        self._process = subprocess.Popen(
            [
                *(program("unshare"), "--map-root-user", "--net"),
                *(sys.executable, "-I", __file__, str(self._socket)),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"

    @property
    def pid(self) -> int:
        """A process in there."""
        return self._process.pid

    def connect(self, port: int) -> socket.socket:
        """A connection to a port of the pod.

        Raises:
            OSError: as a client in there would have it.
        """
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_TIMEOUT_S)
            asking.connect(str(self._socket))
            asking.sendall(str(port).encode())
            told, descriptors, _, _ = socket.recv_fds(asking, _BYTES, 1)
        if not descriptors:
            number = int(told)
            raise OSError(number, os.strerror(number))
        made = socket.socket(fileno=descriptors[0])
        made.settimeout(_TIMEOUT_S)
        return made

    def close(self) -> None:
        """Give the namespace up; it goes with its last process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def program(name: str) -> str:
    """Where a program of the system is."""
    found = shutil.which(name)
    assert found is not None, name
    return found


def missing() -> str | None:
    """Why there can be no namespaces here; None if there can."""
    try:
        command = ["unshare", "--map-root-user", "--net", "--mount", "true"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare(1) is not on this machine"
    return None if done.returncode == 0 else done.stderr.strip()


class _Door(BaseRequestHandler):
    """Makes one connection and hands it out."""

    def handle(self) -> None:
        port = int(self.request.recv(_BYTES))
        try:
            with socket.create_connection((ADDRESS, port), _TIMEOUT_S) as made:
                socket.send_fds(self.request, [b"0"], [made.fileno()])
        except OSError as error:
            self.request.sendall(str(error.errno or errno.ETIMEDOUT).encode())


def _raise_interface() -> None:
    address = socket.inet_aton(ADDRESS)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
        alias = struct.pack("16sH2x4s16x", b"lo:pod", socket.AF_INET, address)
        fcntl.ioctl(any_socket, _SIOCSIFADDR, alias)


def _main() -> None:
    _raise_interface()
    with ThreadingUnixStreamServer(sys.argv[1], _Door) as server:
        print("up", flush=True)  # noqa: T201 - whoever started this waits for it
        server.serve_forever()


if __name__ == "__main__":
    _main()
