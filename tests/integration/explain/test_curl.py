"""A curl command line is read as the real curl acts on it."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from authz_service.explain.curl import read_curl

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

# What curl sends by itself and nobody here looks at.
_OWN = {"host", "user-agent", "accept", "content-length", "content-type", "expect", "cookie"}
_OWN |= {"referer", "accept-encoding", "connection", "range"}


class Listener:
    """Answers one connection after the other, and keeps the head of each request."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.heads: list[str] = []
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                self.heads.append(received.partition(b"\r\n\r\n")[0].decode())
                answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass


def upper_escapes(target: str) -> str:
    """`%2f` and `%2F` are the same: some versions of curl write one, some the other."""
    return re.sub("%..", lambda escape: escape[0].upper(), target)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """Where curl sends its requests."""
    listener = Listener()
    yield listener
    listener.close()


@pytest.mark.parametrize(
    "arguments",
    [
        "http://{address}/a",
        "{address}",
        "-X DELETE http://{address}/a/b?c=d#e",
        "-sS -H 'X-API-Key: one' -HX-API-Key:two http://{address}/a",
        "-H 'X-API-Key;' -H 'X-Other:' -H 'x-mixed:   Case  ' http://{address}/a",
        "-d a=1 -d b=2 http://{address}/a",
        "-G -d a=1 --data-urlencode 'b=x y&z/' --data-urlencode '=q r' {address}/a?c=2",
        "--get --data-raw @a --data-urlencode 'x y' http://{address}/a",
        "-G http://{address}/a?b",
        "-I http://{address}/a",
        "-X POST -I http://{address}/a",
        "--json '{{}}' http://{address}/a",
        "-F scale=2 http://{address}/a",
        "-XPATCH --data-binary x http://{address}/a",
        "-u me:secret http://{address}/a",
        "http://a%20b:c@{address}/a",
        "-u me:secret http://a:b@{address}/a",
        "-u me:secret -H 'authorization: Own x' http://{address}/a",
        "--oauth2-bearer a.b.c http://{address}/a",
        "--oauth2-bearer a.b.c -u x:y http://{address}/a",
        "-ksLi -o out -w '%{{http_code}}' -m 5 -b c=1 -A me -e http://x {address}/a",
        "--path-as-is http://{address}/a/%41?b=//../c",
        "--url http://{address}/a --compressed --http1.1 -r 0-9",
        "\\\n  -X PUT \\\n  {address}/a",
    ],
)
def test_a_command_is_read_as_curl_acts(listener: Listener, arguments: str, tmp_path: Path) -> None:
    """Method, target and every header that is not curl's own are those that arrive."""
    command = f"curl {arguments.format(address=listener.address)}"
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True, timeout=20
    )
    request_line, *lines = listener.heads[-1].split("\r\n")
    method, target, _ = request_line.split(" ")
    sent = [(name.lower(), value.strip()) for name, _, value in (it.partition(":") for it in lines)]
    request = read_curl(command, client_address="127.0.0.1")
    read = request.path + (f"?{request.query}" if request.query else "")
    assert (request.method, upper_escapes(read)) == (method, upper_escapes(target))
    ours = [header for header in request.headers if header[0] not in _OWN]
    assert sorted(ours) == sorted(header for header in sent if header[0] not in _OWN)
