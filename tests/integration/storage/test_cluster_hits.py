"""Requests whose counters lie on several nodes of a real cluster: races, refunds, lost nodes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from secrets import SystemRandom

import pytest
import pytest_asyncio

from authz_service.clock import SystemClock
from authz_service.core.counter_key import counter_key, subject_key
from authz_service.core.hits import Count, Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore, PartsFailedError
from authz_service.storage.redis.link import Command
from authz_service.storage.redis.script import Script, counting_scripts
from authz_service.storage.redis.servers import Server, server_at
from authz_service.storage.redis.store import RedisStore
from authz_service.storage.redis.url import parse_url
from tests.integration.storage.topology import opened, recovered
from tests.servers.cluster import ClusterServers

pytestmark = pytest.mark.slow

HOUR = 3_600_000
TIMEOUT_MS = 2_000
YEAR = Fixed(name="fixed", limit=1_000_000, window_ms=31_536_000_000)
KINDS = [1, 1_001]


def subjects(cluster: ClusterServers) -> list[str]:
    """One subject for each node."""
    found: dict[int, str] = {}
    for number in count():
        subject = f"key:{number}"
        found.setdefault(cluster.primary_of(subject_key(subject).decode()), subject)
        if len(found) == len(cluster.primaries()):
            break
    return list(found.values())


def rate(limit: int) -> Rate:
    """So many an hour."""
    return Rate(name="rate", limit=limit, window_ms=HOUR)


@pytest_asyncio.fixture
async def store(cluster: ClusterServers) -> AsyncIterator[CounterStore]:
    """A store over the cluster, connected."""
    async with opened(cluster.url, timeout_ms=TIMEOUT_MS) as store:
        await store.connect()
        yield store


async def look(store: CounterStore, hit: Hit) -> Count:
    """One counter as it is."""
    [it] = (await store.hit((Hit(hit.subject, hit.limit, 0),))).counts
    assert it is not None
    return it


class Interrupted:
    """A server to which something happens between the look and the count."""

    def __init__(self, server: Server, happening: Callable[[], Awaitable[object]]) -> None:
        self._server = server
        self._happening = happening
        self._is_over = asyncio.Event()
        self._digest = counting_scripts().hit.digest
        self.has_slots = server.has_slots
        self.slot_of = server.slot_of
        self.part_of = server.part_of
        self.connect = server.connect
        self.close = server.close

    async def call(self, command: Command, key: bytes, *, script: Script | None = None) -> object:
        """Look at once; count when it has happened."""
        if command[1] == self._digest and command[-1] != "peek":
            happening, self._happening = self._happening, self._is_over.wait
            await happening()
            self._is_over.set()
        return await self._server.call(command, key, script=script)


@asynccontextmanager
async def interrupted(
    cluster: ClusterServers, happening: Callable[[], Awaitable[object]]
) -> AsyncIterator[CounterStore]:
    """Open a store to which something happens in the middle of its first request."""
    clock = SystemClock()
    server = server_at(
        parse_url(cluster.url), clock=clock, random=SystemRandom().random, timeout_s=2.0
    )
    store = RedisStore(Interrupted(server, happening), scripts=counting_scripts(), clock=clock)
    await store.connect()
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("each", KINDS, ids=["log", "buckets"])
@pytest.mark.parametrize(
    "modes", [(Says.REFUSES,) * 3, (Says.QUOTA, Says.SHADOW, Says.QUOTA), (Says.QUOTA,) * 3]
)
async def test_who_loses_a_race_is_refused_and_leaves_nothing_behind(
    cluster: ClusterServers, store: CounterStore, each: int, modes: tuple[Says, Says, Says]
) -> None:
    """All had room when they were looked at, and one, or all in quota mode, no more."""
    names = subjects(cluster)
    hits = tuple(
        Hit(subject, rate(3 * each), each, says) for subject, says in zip(names, modes, strict=True)
    )
    full = hits[2:] if modes[0] is Says.REFUSES else [it for it in hits if it.says is Says.QUOTA]
    for hit in hits:
        await store.hit((hit,))

    async def others() -> None:
        for hit in full:
            await store.hit((Hit(hit.subject, hit.limit, 2 * each),))

    async with interrupted(cluster, others) as slow:
        answer = await slow.hit((*hits, Hit(names[0], YEAR, 5)))
    assert answer.over
    told = [(it.over, it.counted, it.remaining // each) for it in answer.counts[:3] if it]
    assert told == [(True, False, 0) if hit in full else (False, False, 2) for hit in hits]
    left = [(await look(store, hit)).used_before // each for hit in hits]
    assert left == [3 if hit in full else 1 for hit in hits]
    assert (await look(store, Hit(names[0], YEAR))).used_before == 5


@pytest.mark.parametrize("each", KINDS, ids=["log", "buckets"])
async def test_counters_hold_what_passed_and_nothing_else(
    cluster: ClusterServers, each: int
) -> None:
    """Four processes, requests over one to three nodes, two hundred at once, time and again."""
    names = subjects(cluster)
    limits = [rate(limit * each) for limit in (20, 30, 40)]
    single = [Hit(it, limit, each) for it, limit in zip(names, limits, strict=True)]
    shapes = [single[:2], single[1:], [single[2], single[0]], [single[0]], single]
    passed = dict.fromkeys(names, 0)
    refused = 0
    stores = [store_of(cluster.url) for _ in range(4)]
    for store in stores:
        await store.connect()
    for _ in range(3):
        asked = [shapes[number % len(shapes)] for number in range(200)]
        answers = await asyncio.gather(
            *(stores[number % 4].hit(tuple(hits)) for number, hits in enumerate(asked))
        )
        for hits, answer in zip(asked, answers, strict=True):
            refused += answer.over
            for hit in hits:
                passed[hit.subject] += not answer.over
        for hit in single:
            used = (await look(stores[0], hit)).used_before
            assert used == passed[hit.subject] * each
            assert used <= hit.limit.limit
    assert refused > 400
    assert passed[names[0]] == 20
    for store in stores:
        await store.close()


def store_of(url: str) -> RedisStore:
    """A store with patience."""
    clock = SystemClock()
    server = server_at(parse_url(url), clock=clock, random=SystemRandom().random, timeout_s=5.0)
    return RedisStore(server, scripts=counting_scripts(), clock=clock)


async def test_a_node_that_is_lost_fails_the_request_and_says_which(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """What the others took is given back; requests without it go on."""
    names = subjects(cluster)
    hits = tuple(Hit(name, rate(9)) for name in names)
    await store.hit(hits)
    gone = cluster.primary_of(subject_key(names[1]).decode())

    async def lost() -> None:
        await asyncio.to_thread(cluster.kill, gone)

    async with interrupted(cluster, lost) as slow:
        with pytest.raises(PartsFailedError) as failed:
            await slow.hit(hits)
    assert list(failed.value.errors) == [names[1]]
    left = [(await look(store, hit)).used_before for hit in (hits[0], hits[2])]
    assert left == [1, 1]
    assert not (await store.hit((hits[0], hits[2]))).over
    await asyncio.to_thread(cluster.whole)
    async with asyncio.timeout(5.0):
        await recovered(store, names[1])


async def test_a_value_that_is_no_counter_fails_its_own_slot_alone(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """The same without a lost node: the error is that of one subject."""
    names = subjects(cluster)
    hits = tuple(Hit(name, rate(9)) for name in names)
    node = cluster.nodes[cluster.primary_of(subject_key(names[2]).decode())]
    node.admin.lpush(counter_key(names[2], hits[2].limit).decode(), "x")
    with pytest.raises(PartsFailedError, match="WRONGTYPE") as failed:
        await store.hit(hits)
    assert list(failed.value.errors) == [names[2]]
    with pytest.raises(StoreError):
        await store.hit((hits[2],))
    assert [(await look(store, hit)).used_before for hit in hits[:2]] == [0, 0]
