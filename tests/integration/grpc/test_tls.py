"""TLS of the gRPC server: who is answered, and certificates that change under it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import grpc
import pytest
from cryptography import x509

from authz_service.clock import SystemClock
from authz_service.observe.tls_series import EXPIRY_GAUGE, TlsSeries
from authz_service.settings import GrpcServer
from authz_service.testing.clock import ManualClock
from authz_service.transports.certificates import TlsFiles
from authz_service.transports.client_names import ClientNames
from authz_service.transports.health import Health
from authz_service.transports.listeners import build_server, listen
from authz_service.transports.probe import is_serving
from authz_service.transports.tls import Tls
from authz_service.wire.services import AuthorizationServicer, HealthCheckRequest, HealthStub
from tests.integration.supervise.conftest import free_port
from tests.servers.certificates import Authority, Pair

GATEWAY: Final = "spiffe://cluster.local/ns/istio-system/sa/gateway"
HOST: Final = "gateway.example"
NEIGHBOUR: Final = "spiffe://cluster.local/ns/shop/sa/basket"
SERVER: Final = "authz.example"
_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with TLS, its files, and the authority of everybody."""

    authority: Authority
    files: TlsFiles
    port: int
    socket: str
    series: TlsSeries

    async def ask(self, client: Pair | None) -> str:
        """What a client hears: `SERVING`, or the name of a gRPC status."""
        credentials = grpc.ssl_channel_credentials(
            self.authority.pem, *((client.key, client.certificate) if client else ())
        )
        options = (("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1))
        where = f"127.0.0.1:{self.port}"
        async with grpc.aio.secure_channel(where, credentials, options) as channel:
            stub = HealthStub(channel)  # type: ignore[no-untyped-call]
            try:
                reply = await stub.Check(HealthCheckRequest(), timeout=_WITHIN_S)
                watched = [it async for it in _first(stub.Watch(HealthCheckRequest()))]
            except grpc.aio.AioRpcError as error:
                return error.code().name
        assert watched == [reply]
        return "SERVING"

    async def shown(self) -> str:
        """The certificate that a new connection is shown."""
        client = self.authority.sign(GATEWAY)
        folder = self.files.key.parent
        client.write(folder / "client.crt", folder / "client.key")
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        context.load_cert_chain(folder / "client.crt", folder / "client.key")
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=SERVER
        )
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return ssl.DER_cert_to_PEM_cert(shown)

    def value(self, name: str) -> float:
        """A series, as it is exposed."""
        return _value(self.series, name)

    async def is_refusing(self) -> bool:
        """Whether it says that its files are not fit for use."""
        return self.value("authz_tls_reload_failed") == 1


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs the server and its clients, as the authority of a mesh does."""
    return Authority()


@pytest.fixture
async def secured(authority: Authority, tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that answers the gateway."""
    async with _serving(authority, tmp_path) as running:
        yield running


@asynccontextmanager
async def _serving(authority: Authority, folder: Path) -> AsyncIterator[Secured]:
    files = TlsFiles(
        certificate=folder / "tls.crt",
        key=folder / "tls.key",
        client_authorities=folder / "ca.crt",
    )
    authority.sign(SERVER).write(files.certificate, files.key)
    (folder / "ca.crt").write_bytes(authority.pem)
    series, clock = TlsSeries(), SystemClock()
    tls = Tls(files, clock=clock, series=series)
    server = build_server(
        GrpcServer.GRPCIO,
        authorization=AuthorizationServicer(),
        health=Health(),
        interceptors=[ClientNames([GATEWAY, HOST], clock=clock, refused=series.client_refused)],
    )
    port, socket = free_port(), f"unix:{folder}/local.sock"
    listen(server, socket)
    listen(server, f"127.0.0.1:{port}", tls.credentials())
    await server.start()
    following = asyncio.create_task(tls.run())
    try:
        yield Secured(authority, files, port, socket, series)
    finally:
        following.cancel()
        await server.stop(None)


async def test_only_clients_on_the_list_are_answered(secured: Secured) -> None:
    """One authority signed all of them; names decide, and the others are counted."""
    sign = secured.authority.sign
    assert await secured.ask(sign(GATEWAY)) == "SERVING"
    assert await secured.ask(sign(NEIGHBOUR, GATEWAY + "x")) == "PERMISSION_DENIED"
    assert secured.value("authz_tls_clients_refused_total") == 1


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName(GATEWAY),
        x509.UniformResourceIdentifier(HOST),
        x509.DNSName(f"{HOST}\0.evil.example"),
        x509.UniformResourceIdentifier(f"{GATEWAY}\0"),
        x509.DNSName(f"*.{HOST.partition('.')[2]}"),
        x509.RFC822Name(HOST),
        x509.RegisteredID(x509.ObjectIdentifier("1.3.6.1")),
    ],
    ids=repr,
)
async def test_a_name_of_another_kind_is_another_name(
    secured: Secured, name: x509.GeneralName
) -> None:
    """A DNS name that reads like a SPIFFE id is none, nor is one that only begins like one."""
    assert await secured.ask(secured.authority.sign(HOST)) == "SERVING"
    assert await secured.ask(secured.authority.sign(name)) == "PERMISSION_DENIED"


async def test_nobody_is_answered_without_a_certificate(secured: Secured) -> None:
    """No certificate, or one of another authority: no handshake, whatever its name."""
    assert await secured.ask(None) == "UNAVAILABLE"
    assert await secured.ask(Authority().sign(GATEWAY)) == "UNAVAILABLE"


async def test_the_socket_beside_it_asks_for_no_name(secured: Secured) -> None:
    """The supervisor, and an Envoy in the same pod, go on asking as they did."""
    assert await is_serving(secured.socket)


async def test_a_new_certificate_is_shown_to_new_connections(secured: Secured) -> None:
    """Within moments of the change, and the gauge says until when it lasts."""
    new = secured.authority.sign(SERVER)
    new.write(secured.files.certificate, secured.files.key)
    await _until(secured, new.certificate.decode())
    assert secured.value("authz_tls_reload_failed") == 0


async def test_a_pair_that_does_not_match_changes_nothing(
    secured: Secured, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of a change: the last good pair is shown until the other half has come."""
    before = await secured.shown()
    new = secured.authority.sign(SERVER)
    secured.files.certificate.write_bytes(new.certificate)
    await _eventually(secured.is_refusing)
    assert await secured.shown() == before
    told = capsys.readouterr().out + caplog.text
    assert told.count("the last good ones stay") == 1
    assert "PRIVATE" not in told

    secured.files.key.write_bytes(new.key)
    await _until(secured, new.certificate.decode())
    assert secured.value("authz_tls_reload_failed") == 0


async def test_a_certificate_of_the_future_is_taken_when_its_time_has_come(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clocks differ: one that was signed a moment ago is looked at again, and told of once."""
    clock, series = ManualClock(), TlsSeries()
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    files = TlsFiles(
        certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key", client_authorities=None
    )
    authority.sign(SERVER).write(files.certificate, files.key)
    following = asyncio.create_task(Tls(files, clock=clock, series=series).run())
    until = now + timedelta(days=90)
    new = authority.sign(SERVER, begins=now + timedelta(minutes=1), ends=until)
    new.write(files.certificate, files.key)

    async def is_refused() -> bool:
        return _value(series, "authz_tls_reload_failed") == 1

    async def is_in_force() -> bool:
        if await is_refused():
            clock.advance(5_000)
        return _value(series, EXPIRY_GAUGE) == until.timestamp()

    await _eventually(is_refused)
    await _eventually(is_in_force)
    following.cancel()
    assert not await is_refused()
    assert capsys.readouterr().out.count("the last good ones stay") == 1


async def test_an_authority_that_is_gone_lets_nobody_in(secured: Secured) -> None:
    """The authorities of clients are followed like the certificate."""
    other = Authority()
    assert secured.files.client_authorities is not None
    secured.files.client_authorities.write_bytes(other.pem)

    async def is_in_force() -> bool:
        return await secured.ask(other.sign(GATEWAY)) == "SERVING"

    await _eventually(is_in_force)
    assert await secured.ask(secured.authority.sign(GATEWAY)) == "UNAVAILABLE"


def _value(series: TlsSeries, name: str) -> float:
    (found,) = [s.value for m in series.collect() for s in m.samples if s.name == name]
    return found


async def _until(secured: Secured, certificate: str) -> None:
    async def is_shown() -> bool:
        return await secured.shown() == certificate

    await _eventually(is_shown)


async def _eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while not await is_so():  # noqa: ASYNC110 - what follows files tells nobody
            await asyncio.sleep(0.02)


async def _first(answers: AsyncIterator[object]) -> AsyncIterator[object]:
    async for answer in answers:
        yield answer
        return
