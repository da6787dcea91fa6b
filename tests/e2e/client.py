"""A plain HTTP/1.1 client that sends exactly what a test says."""

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

HOST = "127.0.0.1"
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The only value of a header."""
        (value,) = self.values(name)
        return value

    def values(self, name: str) -> list[str]:
        """Every value of a header, as it came."""
        return [value for key, value in self.headers if key.lower() == name]

    def json(self) -> Any:  # noqa: ANN401 - JSON is what it is
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of the one error form."""
        return str(self.json()["error"]["code"])


class Client:
    """Talks to one stack."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes | Iterable[bytes] | None = None,
        *,
        source: str = HOST,
    ) -> Reply:
        """One request on a connection of its own. An iterable body is sent chunked."""
        connection = HTTPConnection(HOST, self.port, timeout=20, source_address=(source, 0))
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            _send_body(connection, body)
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def get(self, target: str, headers: Headers = (), *, source: str = HOST) -> Reply:
        """A GET."""
        return self.send("GET", target, headers, source=source)

    def upload(self, key: str, image: bytes, *, headers: Headers = (), **fields: str) -> Reply:
        """A POST of one image to be upscaled."""
        body = multipart(image, fields)
        all_headers = [("X-API-Key", key), ("Content-Type", MULTIPART), *headers]
        return self.send("POST", "/api/v1/images/upscale", all_headers, body)

    def raw(self, sent: bytes, *, until_closed: bool = False) -> bytes:
        """Send bytes as they are; what comes back first, or until the connection closes."""
        with socket.create_connection((HOST, self.port), timeout=10) as connection:
            connection.sendall(sent)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
                if not until_closed and b"\r\n\r\n" in received:
                    break
            return received


BOUNDARY = "boundary-of-the-tests"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def multipart(image: bytes, fields: dict[str, str]) -> bytes:
    """A form with one file and some fields (RFC 7578)."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    disposition = 'Content-Disposition: form-data; name="file"; filename="image"'
    parts.append(f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + image + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _send_body(connection: HTTPConnection, body: bytes | Iterable[bytes] | None) -> None:
    if body is None:
        connection.endheaders()
    elif isinstance(body, bytes):
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
    else:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(body, encode_chunked=True)
