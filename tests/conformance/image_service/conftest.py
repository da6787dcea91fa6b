"""The servers that job stores are tested on, each with several processes' connections."""

import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol

import pytest
import pytest_asyncio

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.jobs import IdempotencyKey, Job, Result
from image_service.storage.base import JobStore
from image_service.storage.redis.client import open_client
from image_service.storage.redis.jobs import RedisJobStore
from tests.conformance.storage.server import VALKEY, Server

NOW: Final = 1_000_000
RESULT: Final = Result("somewhere", 10, "image/png", '"e"')


class MakeStore(Protocol):
    """What makes stores that share everything but their connections."""

    def __call__(self, *, queue_limit: int = ..., max_jobs: int = ...) -> JobStore:
        """A store on connections of its own, as another process has them."""


def a_job(
    job_id: str = "1", subject: str = "key:a", key: str | None = None, created_ms: int = NOW
) -> Job:
    """A new job."""
    return Job(
        job_id=job_id,
        subject=subject,
        spec=TransformSpec(2, ImageFormat.PNG, 90),
        request_id="r",
        created_ms=created_ms,
        idempotency=None if key is None else IdempotencyKey(key, "print"),
    )


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A Valkey for the whole run."""
    with Server(VALKEY, keeps_data=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis for the whole run, where one is installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH")
    with Server(binary, keeps_data=True) as server:
        yield server


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server, empty, set as an operator is told to."""
    server = request.getfixturevalue("valkey" if request.param == "valkey" else "redis_server")
    assert isinstance(server, Server)
    server.admin.flushall()
    server.admin.config_set("appendfsync", "always")
    return server


@pytest_asyncio.fixture
async def make_store(server: Server) -> AsyncIterator[MakeStore]:
    """Every implementation in turn. A new one is one row more in what this is made of."""
    made: list[JobStore] = []

    def make(*, queue_limit: int = 1_000, max_jobs: int = 1_000) -> JobStore:
        client = open_client(server.url)
        made.append(RedisJobStore(client, queue_limit=queue_limit, max_jobs=max_jobs))
        return made[-1]

    yield make
    for store in made:
        await store.close()
