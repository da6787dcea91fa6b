"""The table of key stores. A new one is one row here and is held to every behaviour here."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from authz_service.identity.key_changes import KeyChanges, UseLog
from authz_service.identity.key_store import KeyStore
from authz_service.storage.from_url import (
    key_changes_from_url,
    key_store_from_url,
    use_log_from_url,
)
from authz_service.testing.key_store import MemoryKeyStore
from tests.conformance.storage.server import VALKEY, Server

SERVERS = ["valkey", "redis"]
BACKENDS = ["memory", *SERVERS]


@dataclass(frozen=True, slots=True)
class Stores:
    """One store as those see it who change keys, who follow them, and who note their use."""

    keys: KeyStore
    changes: KeyChanges
    uses: UseLog


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A Valkey for the whole run."""
    with Server(VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis for the whole run, where one is installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH")
    with Server(binary) as server:
        yield server


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each server, empty."""
    return empty_server(request)


@pytest_asyncio.fixture(params=BACKENDS)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Each store, empty."""
    if request.param == "memory":
        memory = MemoryKeyStore()
        yield Stores(memory, memory, memory)
        return
    async with opened(empty_server(request)) as stores:
        yield stores


def empty_server(request: pytest.FixtureRequest) -> Server:
    """The server that a test asks for."""
    server = request.getfixturevalue("valkey" if request.param == "valkey" else "redis_server")
    assert isinstance(server, Server)
    server.admin.flushall()
    return server


@asynccontextmanager
async def opened(server: Server, *, url: str = "") -> AsyncIterator[Stores]:
    """The store on a server."""
    url = url or server.url
    stores = Stores(key_store_from_url(url), key_changes_from_url(url), use_log_from_url(url))
    try:
        yield stores
    finally:
        for part in (stores.keys, stores.changes, stores.uses):
            await part.close()
