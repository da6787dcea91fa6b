"""Real sentinels: the primary they name, failovers of every kind, sentinels that are no help."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from authz_service.clock import SystemClock
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore
from tests.integration.storage.topology import (
    DEADLINE_MS,
    LIMIT,
    fake,
    opened,
    recovered,
    remaining,
    traffic,
)
from tests.servers.sentinels import SERVICE, SentinelServers

pytestmark = pytest.mark.slow

SLACK_MS = 600  # other tests share the machine
CONNECT_MS = 1_000


@pytest_asyncio.fixture
async def store(sentinels: SentinelServers) -> AsyncIterator[CounterStore]:
    """A store behind the sentinels, connected."""
    async with opened(sentinels.url) as store:
        await store.connect()
        yield store


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose listener takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ours(sentinels: SentinelServers, port: int) -> int:
    """How many of our connections a server has."""
    clients = sentinels.nodes[port].admin.client_list()
    return sum(client["name"] == "authz_service" for client in clients)


async def test_charges_go_to_the_primary(sentinels: SentinelServers, store: CounterStore) -> None:
    """One server is one part, and no connection to a sentinel is kept."""
    assert [await remaining(store) for _ in range(3)] == [LIMIT - 1, LIMIT - 2, LIMIT - 3]
    assert store.part_of("key:a") == ""
    primary = sentinels.primary()
    assert ours(sentinels, primary) == 1
    assert ours(sentinels, sentinels.other(primary)) == 0
    assert sum(ours(sentinels, port) for port in sentinels.sentinels) == 0


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_primary_that_goes_is_replaced(
    sentinels: SentinelServers, store: CounterStore, fault: str
) -> None:
    """Every charge ends in time; once the replica is promoted, all go there."""
    gone = sentinels.primary()
    assert await remaining(store, "key:b") == LIMIT - 1
    await asyncio.sleep(0.1)  # the replica has it
    async with traffic(store) as seen:
        await asyncio.sleep(0.2)
        getattr(sentinels, fault)(gone)
        new = await asyncio.to_thread(sentinels.promoted, gone)
        async with asyncio.timeout(2.0):
            assert await recovered(store, "key:b") == LIMIT - 2
    assert seen.failed
    assert seen.longest_ms < 2 * DEADLINE_MS + SLACK_MS
    assert ours(sentinels, new) == 1


async def test_an_old_primary_that_comes_back_is_not_written_to(
    sentinels: SentinelServers, store: CounterStore
) -> None:
    """It goes on as it was for a while, then follows; what it is told is not asked meanwhile."""
    old = sentinels.primary()
    assert await remaining(store) == LIMIT - 1
    await asyncio.sleep(0.1)  # the replica has it
    sentinels.pause(old)
    new = await asyncio.to_thread(sentinels.promoted, old)
    async with asyncio.timeout(3.0):
        assert await recovered(store) == LIMIT - 2
    sentinels.resume(old)
    assert await remaining(store) == LIMIT - 3
    assert ours(sentinels, new) == 1
    await asyncio.to_thread(sentinels.whole)
    assert await remaining(store) == LIMIT - 4


async def test_a_demoted_server_is_left_for_the_one_that_is_named(
    sentinels: SentinelServers, store: CounterStore
) -> None:
    """READONLY fails what was asked, and sends the next charge to the sentinels."""
    old = sentinels.primary()
    assert await remaining(store, "key:b") == LIMIT - 1
    new = await asyncio.to_thread(sentinels.failover)
    await asyncio.to_thread(sentinels.whole)
    with pytest.raises(StoreError, match="READONLY"):
        await remaining(store)
    async with asyncio.timeout(3.0):
        await recovered(store)
    assert (ours(sentinels, old), ours(sentinels, new)) == (0, 1)


async def test_a_named_server_that_is_no_primary_is_not_used(sentinels: SentinelServers) -> None:
    """What a sentinel says is believed once `ROLE` agrees; then another sentinel is asked."""
    replica = sentinels.other(sentinels.primary())
    async with fake({b"SENTINEL": b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%d\r\n" % replica}) as port:
        places = f"127.0.0.1:{port},127.0.0.1:{sentinels.sentinels[0]}"
        async with opened(f"redis+sentinel://{places}/{SERVICE}") as store:
            with pytest.raises(StoreError, match="is no primary"):
                await store.connect()
            assert await recovered(store) == LIMIT - 1


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_sentinels_that_are_down_are_passed_over(
    sentinels: SentinelServers, fault: str
) -> None:
    """Two of three are dead or hang: the third is asked in time."""
    for port in sentinels.sentinels[:2]:
        getattr(sentinels, fault)(port)
    async with opened(sentinels.url) as store:
        began = SystemClock().monotonic_ms()
        await store.connect()
        assert SystemClock().monotonic_ms() - began < CONNECT_MS
        assert await remaining(store) == LIMIT - 1


@pytest.mark.parametrize(
    "answer",
    [
        b"*-1\r\n",
        b"-IDONTKNOW No such master\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"$2\r\nhi\r\n",
        b"*2\r\n$1\r\n \r\n$1\r\n1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ],
)
async def test_a_sentinel_that_knows_nothing_is_passed_over(
    sentinels: SentinelServers, answer: bytes
) -> None:
    """Nobody, an error, nonsense or nothing at all: the next one is asked."""
    async with fake({b"SENTINEL": answer}) as port:
        places = f"127.0.0.1:{port},127.0.0.1:{sentinels.sentinels[0]}"
        async with opened(f"redis+sentinel://{places}/{SERVICE}") as store:
            await store.connect()
            assert await remaining(store) == LIMIT - 1
        async with opened(f"redis+sentinel://127.0.0.1:{port}/{SERVICE}") as store:
            with pytest.raises(StoreError, match="names a primary"):
                await store.connect()


async def test_the_sentinel_that_answered_is_asked_first(
    sentinels: SentinelServers, silent: int
) -> None:
    """What was found out about the others is not found out again at every reconnect."""
    places = f"127.0.0.1:{silent},127.0.0.1:{silent},127.0.0.1:{sentinels.sentinels[0]}"
    async with opened(f"redis+sentinel://{places}/{SERVICE}") as store:
        await store.connect()
        primary = sentinels.nodes[sentinels.primary()]
        primary.admin.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.01)
        began = SystemClock().monotonic_ms()
        await store.connect()
        assert SystemClock().monotonic_ms() - began < 150


async def test_no_sentinel_that_helps_is_a_store_error(
    sentinels: SentinelServers, silent: int
) -> None:
    """Unknown names, silence and closed ports; a caller waits no longer than for a reply."""
    for url in (
        f"redis+sentinel://127.0.0.1:{sentinels.sentinels[0]}/nobody",
        f"redis+sentinel://127.0.0.1:{silent},127.0.0.1:{silent}/{SERVICE}",
        f"redis+sentinel://127.0.0.1:1,nohost.invalid/{SERVICE}",
    ):
        async with opened(url) as store:
            began = SystemClock().monotonic_ms()
            with pytest.raises(StoreError):
                await remaining(store)
            assert SystemClock().monotonic_ms() - began < DEADLINE_MS + SLACK_MS
            with pytest.raises(StoreError, match=r"names a primary|no connection"):
                await store.connect()
