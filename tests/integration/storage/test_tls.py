"""TLS to the store: the right authority is accepted, any other is not."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from authz_service.clock import SystemClock
from authz_service.core.rules import Charge, Rate
from authz_service.errors import StoreError
from authz_service.storage.from_url import store_from_url
from tests.conformance.storage.server import Server
from tests.integration.storage.topology import fake, opened, remaining

MINUTE = (Charge(Rate(name="per-minute", limit=5, window_ms=60_000), 1),)
ADMITTED = b"*4\r\n:1\r\n:999\r\n:60000\r\n:0\r\n"
OPENSSL = shutil.which("openssl")

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl on PATH to make certificates")


def certificate(folder: Path, name: str, *, of: str = "IP:127.0.0.1") -> Path:
    """Make a certificate that is its own authority; the key stands in the file."""
    file = folder / f"{name}.pem"
    command = [
        OPENSSL or "",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    command += ["-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={of}"]
    command += ["-days", "2", "-keyout", str(folder / "key"), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "key").read_text())
    return file


def serving(certificate: Path) -> ssl.SSLContext:
    """What a server that shows this certificate speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest_asyncio.fixture
async def tls_port(server: Server, tmp_path: Path) -> AsyncIterator[int]:
    """A TLS listener that passes everything on to the real server."""
    context = serving(certificate(tmp_path, "good"))

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
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()


async def count(port: int, authority: Path | None, host: str = "127.0.0.1") -> int:
    """Charge once over TLS and return what is left."""
    query = "" if authority is None else f"?ssl_ca_certs={authority}"
    url = f"rediss://{host}:{port}{query}"
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=2_000)
    try:
        return (await store.charge("key:a", MINUTE)).readings[0].remaining
    finally:
        await store.close()
        await asyncio.sleep(0.01)  # the listener's side notices the hang-up


async def test_a_certificate_of_the_given_authority_is_accepted(
    tls_port: int, tmp_path: Path
) -> None:
    """Counting over TLS works."""
    assert await count(tls_port, tmp_path / "good.pem") == 4


async def test_any_other_certificate_is_refused(tls_port: int, tmp_path: Path) -> None:
    """Another authority, or only the machine's own list: no connection, no charge."""
    for authority in (certificate(tmp_path, "other"), None):
        with pytest.raises(StoreError, match="SSLCertVerificationError"):
            await count(tls_port, authority)


async def test_a_certificate_for_another_name_is_refused(tls_port: int, tmp_path: Path) -> None:
    """The right authority does not make up for the wrong host."""
    with pytest.raises(StoreError, match="SSLCertVerificationError"):
        await count(tls_port, tmp_path / "good.pem", host="localhost")


@asynccontextmanager
async def named_server(folder: Path, names: str, topology: str, host: str) -> AsyncIterator[str]:
    """A server with a certificate for `names`, and the URL of another that calls it `host`."""
    shown = certificate(folder, "good", of=names)
    primary = {b"ROLE": b"*1\r\n$6\r\nmaster\r\n", b"EVALSHA": ADMITTED}
    async with fake(primary, tls=serving(shown)) as port:
        name = b"$%d\r\n%b\r\n" % (len(host), host.encode())
        said = {
            b"GET-MASTER": b"*2\r\n%b$%d\r\n%d\r\n" % (name, len(str(port)), port),
            b"SLOTS": b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n%b:%d\r\n" % (name, port),
        }
        async with fake(said, tls=serving(shown)) as known:
            service = "/main" if topology == "sentinel" else ""
            yield f"rediss+{topology}://127.0.0.1:{known}{service}?ssl_ca_certs={shown}"


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_that_another_names_is_spoken_to_in_tls_under_that_name(
    tmp_path: Path, topology: str, host: str
) -> None:
    """Sentinels and nodes too, and an authority of one's own holds for all of them."""
    names = "IP:127.0.0.1,DNS:localhost"
    async with (
        named_server(tmp_path, names, topology, host) as url,
        opened(url, timeout_ms=2_000) as store,
    ):
        assert await remaining(store) == 999


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
async def test_a_server_under_a_name_that_is_not_in_its_certificate_is_refused(
    tmp_path: Path, topology: str
) -> None:
    """Whoever names it does not vouch for it, unless names are not looked at."""
    async with named_server(tmp_path, "IP:127.0.0.1", topology, "localhost") as url:
        async with opened(url, timeout_ms=2_000) as store:
            with pytest.raises(StoreError, match="SSLCertVerificationError"):
                await remaining(store)
        async with opened(f"{url}&ssl_check_hostname=false", timeout_ms=2_000) as store:
            assert await remaining(store) == 999
