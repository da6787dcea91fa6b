"""A provider's key server over TLS, in threads: it says what a test wants, and counts requests."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

from authz_service.testing.tokens import Signer, key_set

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class JwksServer:
    """One answer for every request."""

    port: int
    ca_pem: bytes
    requests: list[float] = field(default_factory=list)
    answer: Answer = lambda _: None

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"https://127.0.0.1:{self.port}/jwks.json"

    def publish(self, *signers: Signer) -> None:
        """Answer with the keys of these."""
        self.say(key_set(*(one.jwk() for one in signers)))

    def say(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        """Answer with this."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer

    def drip(self, pause_s: float) -> None:
        """Answer with one byte at a time, for longer than anybody should wait."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b"{")
                time.sleep(pause_s)

        self.answer = answer

    def hang_up(self) -> None:
        """Answer with nothing at all."""
        self.answer = lambda _: None


@contextmanager
def jwks_server() -> Iterator[JwksServer]:
    """A server at a port of its own."""
    authority = trustme.CA()
    server = JwksServer(0, authority.cert_pem.bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(time.perf_counter())
            server.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.handle_error = lambda *_: None  # type: ignore[method-assign] # clients go away
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener.socket = context.wrap_socket(
        listener.socket, server_side=True, do_handshake_on_connect=False
    )
    server.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)
