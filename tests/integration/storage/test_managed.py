"""A server as clouds sell it: without some commands, and with an address for a common name."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from authz_service.errors import StoreError
from authz_service.storage.from_url import key_store_from_url
from image_service.errors import StoreError as JobStoreError
from image_service.storage.base import JobStore
from image_service.storage.redis.client import open_client
from image_service.storage.redis.durability import check_durability
from image_service.storage.redis.jobs import RedisJobStore
from tests.conformance.storage.server import Server
from tests.integration.storage.test_tls import ADMITTED
from tests.integration.storage.topology import fake, opened, remaining
from tests.servers.node import HOST, free_ports

REDIS = shutil.which("redis-server")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A Redis with TLS and a password, without CLIENT and CONFIG; its address is in its CN alone.

    The URL names the authority that signed its certificate.
    """
    if REDIS is None:
        pytest.skip("no redis-server on PATH: the Valkey of the tests has no TLS")
    folder, (port,) = tmp_path, free_ports(1)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    authority.issue_cert(common_name=HOST).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    tls = ["--tls-port", str(port), "--bind", HOST, "--tls-auth-clients", "no"]
    tls += ["--tls-cert-file", str(folder / "server.pem")]
    tls += ["--tls-key-file", str(folder / "server.pem")]
    tls += ["--tls-ca-cert-file", str(folder / "ca.pem")]
    forbidden = ["--rename-command", "CLIENT", "", "--rename-command", "CONFIG", ""]
    with Server(REDIS, password="p/w", more=[*tls, *forbidden]):
        yield f"rediss://:p%2Fw@{HOST}:{port}/1?ssl_ca_certs={folder}/ca.pem"


@asynccontextmanager
async def jobs_at(url: str) -> AsyncIterator[JobStore]:
    """A job store."""
    store = RedisJobStore(open_client(url), queue_limit=10, max_jobs=10)
    yield store
    await store.close()


async def test_it_counts_and_keeps_keys_and_jobs(url: str) -> None:
    """Each of the three clients logs in, speaks TLS, and gets by without these commands."""
    known = f"{url}&ssl_check_hostname=false"
    async with opened(known, timeout_ms=2_000) as store:
        assert await remaining(store) == 999
    keys = key_store_from_url(known)
    assert await keys.find("one") is None
    await keys.close()
    async with jobs_at(known) as jobs:
        assert await jobs.waiting() == 0


@pytest.mark.parametrize("change", ["", "&ssl_check_hostname=true", "other authority"])
async def test_it_is_refused_unless_told_and_always_under_another_authority(
    url: str, change: str
) -> None:
    """Names are looked at without the option, and the authority with it as well."""
    if change == "other authority":
        changed = f"{url.replace('/ca.pem', '/other.pem')}&ssl_check_hostname=false"
    else:
        changed = url + change
    async with opened(changed, timeout_ms=2_000) as store:
        with pytest.raises(StoreError, match="SSLCertVerificationError"):
            await remaining(store)
    keys = key_store_from_url(changed)
    with pytest.raises(StoreError, match="does not answer"):
        await keys.find("one")
    await keys.close()
    async with jobs_at(changed) as jobs:
        with pytest.raises(JobStoreError, match="does not answer"):
            await jobs.waiting()


async def test_what_cannot_be_looked_up_is_told(url: str) -> None:
    """Durability is a question to CONFIG: without it the operator hears that nobody knows."""
    client = open_client(f"{url}&ssl_check_hostname=false")
    (told,) = await check_durability(client)
    assert "does not show its configuration" in told
    await client.aclose()


REFUSALS = [
    b"-NOPERM User authz has no permissions to run the 'client|setname' command\r\n",
    b"-ERR unknown command 'CLIENT', with args beginning with: 'SETNAME'\r\n",
    b"-ERR Unknown subcommand or wrong number of arguments for 'SETNAME'.\r\n",
    b"-ERR Client sent an illegal command\r\n",
    b"-FORBIDDEN\r\n",
    b"-command not allowed\r\n",
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_connection_that_may_not_be_named_counts(refusal: bytes) -> None:
    """Whatever the refusal is called."""
    async with (
        fake({b"SETNAME": refusal, b"EVALSHA": ADMITTED}) as port,
        opened(f"redis://{HOST}:{port}", timeout_ms=2_000) as store,
    ):
        assert await remaining(store) == 999


@pytest.mark.parametrize("word", [b"AUTH", b"SELECT"])
@pytest.mark.parametrize("refusal", [b"-ERR unknown command\r\n", b"-NOPERM no\r\n"])
async def test_a_log_in_that_is_refused_is_an_error(word: bytes, refusal: bytes) -> None:
    """A password or a database that the server does not take stops the connection."""
    async with (
        fake({word: refusal, b"EVALSHA": ADMITTED}) as port,
        opened(f"redis://:secret@{HOST}:{port}/1", timeout_ms=2_000) as store,
    ):
        with pytest.raises(StoreError, match=f"refused {word.decode()}: "):
            await remaining(store)
