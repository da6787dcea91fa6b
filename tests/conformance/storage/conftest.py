"""The table of stores. A new store is one row here and is held to every behaviour here."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.conformance.storage.bench import Bench, MemoryBench, ServerBench, opened
from tests.conformance.storage.server import VALKEY, Server

SERVERS = ["valkey", "redis"]
BACKENDS = ["memory", *SERVERS]


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
    name = "valkey" if request.param == "valkey" else "redis_server"
    server = request.getfixturevalue(name)
    assert isinstance(server, Server)
    server.admin.flushall()
    return server


@pytest_asyncio.fixture(params=BACKENDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each store, empty, at the same moment."""
    if request.param == "memory":
        async with opened(MemoryBench) as bench:
            yield bench
        return
    server = request.getfixturevalue("valkey" if request.param == "valkey" else "redis_server")
    async with opened(lambda: ServerBench(server)) as bench:
        yield bench
