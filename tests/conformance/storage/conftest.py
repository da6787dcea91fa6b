"""The table of stores. A new store is one row here and is held to every behaviour here."""

import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
import pytest_asyncio
import redis

from tests.conformance.storage.bench import (
    CLOCK_KEY,
    Bench,
    MemoryBench,
    ServerBench,
    opened,
)
from tests.conformance.storage.server import VALKEY, Server
from tests.servers.cluster import ClusterServers
from tests.servers.node import HOST
from tests.servers.sentinels import SentinelServers

SERVERS = ["valkey", "redis"]
BACKENDS = [
    "memory",
    *SERVERS,
    pytest.param("cluster", marks=pytest.mark.slow),
    pytest.param("sentinel", marks=pytest.mark.slow),
]


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
    if request.param in SERVERS:
        name = "valkey" if request.param == "valkey" else "redis_server"
        server = request.getfixturevalue(name)
        async with opened(lambda: ServerBench.over(server)) as bench:
            yield bench
        return
    url, places = request.getfixturevalue(f"{request.param}_places")
    admins = {key: redis.Redis(host=HOST, port=port) for key, port in places.items()}
    async with opened(lambda: ServerBench(url, admins)) as bench:
        yield bench
    for admin in admins.values():
        admin.close()


@pytest.fixture
def cluster_places(cluster: ClusterServers) -> tuple[str, dict[str, int]]:
    """Each primary of a cluster, by the name of a key that it serves."""
    places: dict[str, int] = {}
    for number in count():
        port = cluster.primary_of(f"{CLOCK_KEY}-{number}")
        if port not in places.values():
            places[f"{CLOCK_KEY}-{number}"] = port
        if len(places) == len(cluster.primaries()):
            break
    return cluster.url, places


@pytest.fixture
def sentinel_places(sentinels: SentinelServers) -> tuple[str, dict[str, int]]:
    """The primary that sentinels name."""
    return sentinels.url, {CLOCK_KEY: sentinels.primary()}
