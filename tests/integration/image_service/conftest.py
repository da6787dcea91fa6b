"""One real service on a real loopback socket for each test module, and clients for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from image_service.app import Service, build
from image_service.clock import SystemClock
from image_service.serve import running
from image_service.settings import Address, Settings

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def settings() -> Settings:
    """As few processes as will do."""
    return Settings.load({"IMAGE_LISTEN": "127.0.0.1:0", "IMAGE_WORKERS": "1"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Address]:
    """Where the module's own service listens."""
    folder = tmp_path_factory.mktemp("service")
    service = build(Settings.load({}), clock=SystemClock(), folder=folder)
    ready: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def live() -> None:
        # A task group is left by the task that entered it: fixtures cannot promise that.
        async with running(service, LOOPBACK) as bound:
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
def make_service(tmp_path: Path) -> Callable[[Settings], Service]:
    """Builds services that a test starts and stops itself."""

    def make(settings: Settings) -> Service:
        return build(settings, clock=SystemClock(), folder=tmp_path)

    return make
