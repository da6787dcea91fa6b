"""A server for each test, and workers that follow it, on both event loops there are."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import pytest_asyncio
import uvloop

from authz_service.clock import SystemClock
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.verdict import Reason
from authz_service.identity.key_feed import KeyFeed
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.key_store import KeyChange, KeyStore, StoredKey
from authz_service.identity.last_used import LastUsed
from authz_service.identity.store_keys import StoreKeys
from authz_service.observe.metrics import Metrics
from authz_service.storage.from_url import (
    key_changes_from_url,
    key_store_from_url,
    use_log_from_url,
)
from tests.conformance.storage.server import VALKEY, Server

SOON_S = 10.0


class Follower:
    """What one worker has for a key store."""

    def __init__(self, url: str, *, max_stale_ms: int = 600_000) -> None:
        clock = SystemClock()
        configured = KeyIndex({})
        self.metrics = Metrics()
        self.keys = StoreKeys(configured, clock=clock, max_stale_ms=max_stale_ms)
        self.index = configured.beside(self.keys)
        self.feed = KeyFeed(
            key_changes_from_url(url),
            keys=self.keys,
            clock=clock,
            random=lambda: 0.5,
            metrics=self.metrics,
        )
        self.last_used = LastUsed(
            use_log_from_url(url), keys=self.keys, metrics=self.metrics, interval_s=0.05
        )

    def find(self, key_id: str) -> ApiKeyRecord | Reason:
        """What is said of the secret of an id."""
        return self.index.find(f"secret-of-{key_id}".encode())

    def tier(self, key_id: str) -> str:
        """The tier of the key of an id, or the reason why there is none."""
        record = self.find(key_id)
        return record.value if isinstance(record, Reason) else record.tier

    @property
    def loads(self) -> float:
        """How often everything was read."""
        return self.metrics._keys.loads._value.get()  # type: ignore[no-any-return]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Follower"]:
        """At work for as long as the block lasts."""
        tasks = [asyncio.create_task(run()) for run in (self.feed.run, self.last_used.run)]
        try:
            yield self
            assert not any(task.done() for task in tasks), "a task has ended"
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
def server() -> Iterator[Server]:
    """A Valkey that a test may kill."""
    with Server(VALKEY) as server:
        yield server


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[KeyStore]:
    """The hand that changes keys."""
    store = key_store_from_url(server.url)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def followers(server: Server) -> AsyncIterator[tuple[Follower, Follower]]:
    """Two workers, which have read what there is."""
    one, two = Follower(server.url), Follower(server.url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        await soon(lambda: {one.tier("nobody"), two.tier("nobody")} == {"unknown_key"})
        yield one, two


@pytest.fixture
def follower(followers: tuple[Follower, Follower]) -> Follower:
    """One of them, where one is enough."""
    return followers[0]


async def make(store: KeyStore, *keys: StoredKey) -> None:
    """New keys."""
    await store.apply([KeyChange(None, key) for key in keys])


async def soon(is_so: Callable[[], bool], *, within_s: float = SOON_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - nobody tells when a worker has learned something
            await asyncio.sleep(0.002)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on the loop that workers have."""
    return {"uvloop": uvloop.new_event_loop}
