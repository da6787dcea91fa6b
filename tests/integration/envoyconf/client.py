"""HTTP/1.1 as bytes: a test says exactly what goes over the wire, and sees all that comes back."""

import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

DEADLINE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401
        """The body, which must be JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one address, a new connection for each request."""

    host: str
    port: int

    def send(
        self,
        method: str,
        path: str,
        *headers: tuple[str, str],
        body: bytes | None = None,
    ) -> Answer:
        """A well-formed request. `Content-Length` is set where there is a body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode()
        return self.raw(head + (body or b""), method=method)

    def raw(self, request: bytes, *, method: str = "GET") -> Answer:
        """Any bytes at all, and what is answered to them."""
        with self.connect() as connection:
            connection.sendall(request)
            return read(connection, method=method)

    def connect(self) -> socket.socket:
        """A connection with a deadline on every read and write."""
        return socket.create_connection((self.host, self.port), timeout=DEADLINE_SECONDS)


def read(connection: socket.socket, *, method: str = "GET") -> Answer:
    """The next response on a connection."""
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=response.read())
    finally:
        response.close()
