"""A stop cuts nobody off."""

import signal
import socket
import time

from tests.e2e.client import HOST, MULTIPART, multipart
from tests.e2e.conftest import encoded
from tests.e2e.stack import running


def test_an_upload_under_way_is_answered_before_the_stack_stops() -> None:
    """Half a body is sent, the stack is asked to stop, the other half follows: 200."""
    with running() as stack:
        body = multipart(encoded("PNG"), {})
        head = (
            "POST /api/v1/images/upscale HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n"
            f"X-API-Key: {stack.fresh_key()}\r\nContent-Type: {MULTIPART}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((HOST, stack.client.port), timeout=20) as connection:
            connection.sendall(head.encode() + body[:100])
            time.sleep(0.3)

            stack.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            connection.sendall(body[100:])

            answer = connection.recv(65_536)
        code = stack.wait()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer[:300]
    assert code == 0
