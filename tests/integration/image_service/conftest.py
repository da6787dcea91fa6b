"""One real Valkey for all, one house on it for each test module, and houses for single tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from image_service.settings import Address
from tests.integration.image_service.house import House
from tests.servers.node import HOST, Node, free_ports, until

_DATABASES: Final = 1000

MakeStores = Callable[[], Mapping[str, str]]


@pytest.fixture(scope="session")
def job_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Valkey that keeps what it is told, as an operator would set it up."""
    folder = tmp_path_factory.mktemp("jobs")
    (port,) = free_ports(1)
    server = Node(folder, port, *durable(folder, port))
    server.start()
    until(server.answers, "job server")
    yield server
    server.close()


def durable(folder: Path, port: int) -> tuple[str, ...]:
    """The arguments of a server that loses nothing."""
    return (
        *("--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""),
        *("--databases", str(_DATABASES), "--maxmemory-policy", "noeviction"),
        *("--appendonly", "yes", "--appendfsync", "always"),
    )


@pytest.fixture(scope="session")
def make_stores(job_server: Node, tmp_path_factory: pytest.TempPathFactory) -> MakeStores:
    """Settings of an empty job store and an empty folder of files, new at every call."""
    databases = count()

    def make() -> Mapping[str, str]:
        return {
            "IMAGE_QUEUE_URL": f"redis://{HOST}:{job_server.port}/{next(databases)}",
            "IMAGE_FILES_URL": tmp_path_factory.mktemp("files").as_uri(),
        }

    return make


@pytest.fixture
def stores(make_stores: MakeStores) -> Mapping[str, str]:
    """Stores of the test's own."""
    return make_stores()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(
    make_stores: MakeStores, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Address]:
    """Where the module's own service listens."""
    house = House.build(make_stores(), tmp_path_factory.mktemp("house"))
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def live() -> None:
        # A task group is left by the task that entered it: fixtures cannot promise that.
        async with house.living() as bound:
            ready.set_result(bound)
            await stop.wait()

    life = asyncio.create_task(live())
    # A service that does not start shows why, instead of leaving the tests to wait.
    life.add_done_callback(lambda _: ready.cancel())
    try:
        yield await ready
    finally:
        stop.set()
        await life


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(address: Address) -> AsyncIterator[ClientSession]:
    """A client of the module's service."""
    async with ClientSession(f"http://{address}") as session:
        yield session


@pytest.fixture
def make_house(stores: Mapping[str, str], tmp_path: Path) -> Callable[..., House]:
    """Builds the house that a test starts and stops itself, with settings of its own."""

    def make(**settings: str) -> House:
        return House.build({**stores, **settings}, tmp_path)

    return make
