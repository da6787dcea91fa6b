"""TLS to the key store: the right authority is accepted, any other is not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from authz_service.errors import StoreError
from authz_service.storage.from_url import key_store_from_url
from tests.conformance.storage.server import Server


@pytest_asyncio.fixture
async def tls_port(server: Server, tmp_path: Path) -> AsyncIterator[int]:
    """A TLS listener that passes everything on to the real server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "good.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(server.socket)
        async with asyncio.TaskGroup() as group:
            group.create_task(pass_on(reader, inner_writer))
            group.create_task(pass_on(inner_reader, writer))

    listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def test_a_server_of_the_right_authority_is_asked(tls_port: int, tmp_path: Path) -> None:
    """Its certificate names the address that the URL names."""
    store = key_store_from_url(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={tmp_path}/good.pem")
    assert await store.find("one") is None
    await store.close()


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", "?ssl_ca_certs={}/other.pem"),
        ("127.0.0.1", ""),
        ("localhost", "?ssl_ca_certs={}/good.pem"),
    ],
    ids=["other-authority", "authorities-of-the-system", "other-name"],
)
async def test_any_other_server_is_told_nothing(
    tls_port: int, tmp_path: Path, host: str, options: str
) -> None:
    """Not the password either: the connection ends before it is sent."""
    url = f"rediss://:canary@{host}:{tls_port}{options.format(tmp_path)}"
    store = key_store_from_url(url)
    with pytest.raises(StoreError, match="does not answer") as caught:
        await store.find("one")
    assert "canary" not in str(caught.value)
    await store.close()
