"""A provider that publishes its keys over TLS, and does as a test says."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from aiohttp import web

from authz_service.core.provider import JwksUrl
from authz_service.testing.tokens import Signer, key_set

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Publisher:
    """An HTTPS server with one answer for every request, counted."""

    port: int
    ca_pem: str
    requests: list[web.BaseRequest] = field(default_factory=list)
    answer: Answer | None = None

    @property
    def url(self) -> str:
        """Where the keys are. Its query must not be seen anywhere."""
        return f"https://127.0.0.1:{self.port}/jwks.json?key=canary-of-the-url"

    def where(self, **changes: int) -> JwksUrl:
        """The same as the policy says it."""
        return JwksUrl(url=self.url, ca_file="ca.pem", **changes)

    def publish(self, *signers: Signer) -> None:
        """Answer with the keys of these."""
        self.say(key_set(*(one.jwk() for one in signers)))

    def say(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer with this."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return web.Response(body=body, status=status, headers=named)

        self.answer = answer


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Whom the tests trust."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate, as a file."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@pytest_asyncio.fixture
async def publisher(authority: trustme.CA) -> AsyncIterator[Publisher]:
    """The server, at a port of its own."""
    mine = Publisher(0, authority.cert_pem.bytes().decode())

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        mine.requests.append(request)
        assert mine.answer is not None
        return await mine.answer(request)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    mine.port = runner.addresses[0][1]
    yield mine
    await runner.cleanup()
