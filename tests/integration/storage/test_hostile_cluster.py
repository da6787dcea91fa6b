"""Nodes that answer, but not as a cluster does: nothing but `StoreError`, and never for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.clock import SystemClock
from authz_service.core.counter_key import subject_key
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore
from authz_service.storage.redis.cluster import Cluster
from authz_service.storage.redis.slots import key_slot
from authz_service.storage.redis.store import RedisStore
from tests.integration.storage.topology import eventually, opened, remaining

ANSWER = b"*4\r\n:1\r\n:999\r\n:60000\r\n:0\r\n"
SLOT = key_slot(subject_key("key:a"))
TIMEOUT_MS = 100
LONGEST_MS = 4 * TIMEOUT_MS + 500  # the slots, the call and two redirections; a busy machine


class Node:
    """A false node: what it says of slots and of charges, and what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.slots: Callable[[], bytes] = self.all_slots
        self.verdict: Callable[[], bytes] = lambda: ANSWER
        self.delay_s = 0.0
        self.charged_over: set[asyncio.StreamWriter] = set()
        self.charges = 0
        self.maps = 0

    def all_slots(self) -> bytes:
        """What a cluster of this node alone says."""
        return b"*1\r\n" + slot_range(0, 16_383, self.port)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while read := await reader.read(65_536):
                writer.write(b"+OK\r\n" * (read.count(b"SETNAME") + read.count(b"ASKING")))
                if b"SLOTS" in read:
                    self.maps += 1
                    writer.write(self.slots())
                for _ in range(read.count(b"EVALSHA")):
                    await asyncio.sleep(self.delay_s)
                    self.charges += 1
                    self.charged_over.add(writer)
                    writer.write(self.verdict())
        except ConnectionError:
            pass
        finally:
            writer.close()


def slot_range(first: int, last: int, port: int, host: bytes = b"127.0.0.1") -> bytes:
    """One range of `CLUSTER SLOTS` with a primary and no replica."""
    place = b"*3\r\n$%d\r\n%b\r\n:%d\r\n$2\r\nid\r\n" % (len(host), host, port)
    return b"*3\r\n:%d\r\n:%d\r\n%b" % (first, last, place)


def redirection(word: str, place: str, slot: int = SLOT) -> bytes:
    """An error that sends a charge elsewhere."""
    return f"-{word} {slot} {place}\r\n".encode()


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[list[Node]]:
    """Serve as so many nodes."""
    made = [Node() for _ in range(count)]
    servers = []
    for node in made:
        server = await asyncio.start_server(node.talk, "127.0.0.1", 0)
        node.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield made
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


@asynccontextmanager
async def store_over(*seeds: Node) -> AsyncIterator[CounterStore]:
    """A store that begins with these nodes."""
    places = ",".join(f"127.0.0.1:{node.port}" for node in seeds)
    async with opened(f"redis+cluster://{places}", timeout_ms=TIMEOUT_MS) as store:
        yield store


def cluster_of(store: CounterStore) -> Cluster:
    """What a store talks to."""
    assert isinstance(store, RedisStore)
    assert isinstance(store._server, Cluster)
    return store._server


async def refused(store: CounterStore, told: str = ".") -> None:
    """Charge, and see that it is refused in time and told in our own words."""
    began = SystemClock().monotonic_ms()
    with pytest.raises(StoreError, match=told) as caught:
        await remaining(store)
    assert SystemClock().monotonic_ms() - began < LONGEST_MS
    assert "secret" not in str(caught.value)


async def test_a_right_map_and_a_right_answer_are_believed() -> None:
    """The nodes of these tests can speak well: the errors below come from what they say."""
    async with nodes(1) as (node,), store_over(node) as store:
        assert await remaining(store) == 999
        assert store.part_of("key:a") == f"127.0.0.1:{node.port}"


@pytest.mark.parametrize(
    "reply",
    [
        b"*0\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b":7\r\n",
        b"+OK\r\n",
        b"*1\r\n:7\r\n",
        b"*1\r\n*0\r\n",
        b"*1\r\n*3\r\n:0\r\n:16383\r\n*0\r\n",
        b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        b"*1\r\n*3\r\n:9\r\n:3\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        b"*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\n/\r\n:1\r\n",
        b"*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        b"-ERR This instance has cluster support disabled secret\r\n",
        b"-NOPERM this user has no permissions secret\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*1000000\r\n",
        b"$999999999999\r\n",
        b"",
    ],
)
async def test_a_map_that_makes_no_sense_is_a_store_error(reply: bytes) -> None:
    """And the node that speaks sense is found beside the one that does not."""
    async with nodes(2) as (bad, good):
        bad.slots = lambda: reply
        async with store_over(bad) as store:
            await refused(store)
            with pytest.raises(StoreError):
                await store.connect()
            assert store.part_of("key:a") == ""
        async with store_over(bad, good) as store:
            await store.connect()
            assert await remaining(store) == 999


async def test_a_huge_map_is_refused() -> None:
    """More ranges than slots, or more nodes than a cluster has, are no map."""
    async with nodes(1) as (node,):
        for ranges in (
            [slot_range(0, 16_383, node.port)] * 16_385,
            [slot_range(slot, slot, slot + 1) for slot in range(1_001)],
        ):
            reply = b"*%d\r\n%b" % (len(ranges), b"".join(ranges))
            node.slots = lambda reply=reply: reply  # type: ignore[misc]
            async with store_over(node) as store:
                with pytest.raises(StoreError, match="says where the counters are"):
                    await store.connect()


async def test_a_slot_that_is_on_no_map_is_a_store_error() -> None:
    """The nodes are asked again in the background, and one that serves it by now is found."""
    async with nodes(1) as (node,), store_over(node) as store:
        node.slots = lambda: b"*1\r\n" + slot_range(SLOT + 1, 16_383, node.port)
        await refused(store, "no node of the counter store serves the key")
        node.slots = node.all_slots
        await eventually(lambda: store.part_of("key:a") != "")
        assert await remaining(store) == 999


async def test_the_node_that_a_slot_has_moved_to_is_asked_before_those_that_may_not_know() -> None:
    """One that still tells of the old place does not undo what was learnt from a redirection."""
    async with nodes(2) as (one, two), store_over(one) as store:
        one.verdict = lambda: redirection("MOVED", f"127.0.0.1:{two.port}")
        assert await remaining(store) == 999
        await eventually(lambda: two.maps + one.maps == 2)
        assert (one.maps, two.maps) == (1, 1)
        assert await remaining(store) == 999
        assert (one.charges, two.charges) == (1, 2)


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
async def test_two_nodes_that_point_at_each_other_are_left_after_three_questions(
    word: str,
) -> None:
    """A call follows two redirections and no more, whatever they are called."""
    async with nodes(2) as (one, two), store_over(one) as store:
        one.verdict = lambda: redirection(word, f"127.0.0.1:{two.port}")
        two.verdict = lambda: redirection(word, f"127.0.0.1:{one.port}")
        await refused(store, "do not agree")
        assert (one.charges, two.charges) == (2, 1)


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
async def test_a_node_that_points_at_itself_is_left_too(word: str) -> None:
    """With or without naming the host."""
    async with nodes(1) as (node,), store_over(node) as store:
        for host in ("127.0.0.1", ""):
            node.charges = 0
            node.verdict = lambda host=host: redirection(word, f"{host}:{node.port}")  # type: ignore[misc]
            await refused(store, "do not agree")
            assert node.charges == 3


@pytest.mark.parametrize(
    ("place", "slot"),
    [
        ("secret", SLOT),
        ("secret:x", SLOT),
        ("se/cret:1", SLOT),
        ("127.0.0.1:0", SLOT),
        ("127.0.0.1:70000", SLOT),
        ("127.0.0.1:1 secret", SLOT),
        ("127.0.0.1:1", SLOT + 1),
        ("127.0.0.1:1", -1),
    ],
)
async def test_a_redirection_to_nonsense_is_a_store_error(place: str, slot: int) -> None:
    """Nobody is asked, and what was said is not repeated."""
    async with nodes(1) as (node,), store_over(node) as store:
        node.verdict = lambda: redirection("MOVED", place, slot)
        await refused(store, "names nonsense")


@pytest.mark.parametrize("place", ["127.0.0.1:1", "nohost.invalid:7000", "192.0.2.1:7000"])
async def test_a_redirection_to_where_nobody_is_ends_in_time(place: str) -> None:
    """A closed port, a name that is none and a host that is silent cost a deadline at most."""
    async with nodes(1) as (node,), store_over(node) as store:
        node.verdict = lambda: redirection("MOVED", place)
        await refused(store)
        node.verdict = lambda: ANSWER
        await eventually(lambda: store.part_of("key:a") == f"127.0.0.1:{node.port}")
        assert await remaining(store) == 999


async def test_redirections_to_ever_new_places_pile_up_nothing() -> None:
    """Each is followed once; connections to places on no map are let go."""
    ports = iter(range(2, 60_000))
    async with nodes(1) as (node,), store_over(node) as store:
        node.verdict = lambda: redirection("MOVED", f"127.0.0.1:{next(ports)}")
        for _ in range(300):
            with pytest.raises(StoreError):
                await remaining(store)
        await eventually(lambda: len(cluster_of(store)._nodes) == 1)


@pytest.mark.parametrize("reply", ["!", "-LOADING Redis is loading the dataset in memory\r\n"])
async def test_after_one_failure_the_nodes_are_asked_until_a_replica_can_have_taken_over(
    reply: str,
) -> None:
    """No further charge is needed to find it, and a second later nobody asks any more."""
    async with nodes(2) as (one, two), store_over(one) as store:
        one.verdict = reply.encode
        await refused(store)
        asked = one.maps
        await eventually(lambda: one.maps >= asked + 2)
        assert store.part_of("key:a") == f"127.0.0.1:{one.port}"
        one.slots = two.all_slots
        await eventually(lambda: store.part_of("key:a") == f"127.0.0.1:{two.port}")
        assert await remaining(store) == 999
        await eventually(lambda: cluster_of(store)._map._watch is None)


async def test_a_node_that_leaves_answers_what_it_was_asked() -> None:
    """Its connection is closed once the calls on it are over, not under them."""
    async with nodes(2) as (one, two), store_over(one) as store:
        await store.connect()
        one.delay_s = 0.05
        one.slots = two.all_slots
        caller = asyncio.create_task(remaining(store))
        cluster = cluster_of(store)
        await asyncio.sleep(0.01)
        cluster._map.doubted()
        await eventually(lambda: store.part_of("key:a") == f"127.0.0.1:{two.port}")
        assert not caller.done()
        assert await caller == 999
        assert one.charges == 1
        await eventually(lambda: not cluster._leaving)


async def test_nodes_are_not_stormed_with_questions_about_slots() -> None:
    """However many charges are sent elsewhere, the map is asked for a few times a second."""
    async with nodes(1) as (node,), store_over(node) as store:
        node.verdict = lambda: b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
        began = SystemClock().monotonic_ms()
        while SystemClock().monotonic_ms() - began < 600:
            with pytest.raises(StoreError, match="TRYAGAIN"):
                await remaining(store)
        assert node.charges > 50
        assert 1 < node.maps <= 8
        assert len(node.charged_over) == 1


@pytest.mark.parametrize("code", ["CLUSTERDOWN Hash slot not served", "TRYAGAIN Multiple keys"])
async def test_what_is_said_of_a_slot_costs_no_connection(code: str) -> None:
    """Others at the same node go on over the same socket."""
    async with nodes(1) as (node,), store_over(node) as store:
        await remaining(store)
        node.verdict = f"-{code}\r\n".encode
        await refused(store, code.partition(" ")[0])
        node.verdict = lambda: ANSWER
        assert await remaining(store) == 999
        assert len(node.charged_over) == 1


async def test_a_closed_store_leaves_nothing_behind() -> None:
    """Closed in the middle of a question about slots, its caller is told and its task ends."""
    async with nodes(1) as (node,):
        node.slots = lambda: b""
        async with store_over(node) as store:
            caller = asyncio.create_task(remaining(store))
            await asyncio.sleep(0.02)
            await store.close()
            with pytest.raises(StoreError, match="closed"):
                await caller
            with pytest.raises(StoreError, match="closed"):
                await remaining(store)
    current = asyncio.current_task()
    left = [it for it in asyncio.all_tasks() if it is not current and "ClusterMap" in repr(it)]
    assert left == []


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(slots=st.binary(max_size=60), verdict=st.binary(min_size=1, max_size=60))
async def test_random_bytes_never_raise_anything_else(slots: bytes, verdict: bytes) -> None:
    """About slots or instead of a verdict: bytes that are neither end in `StoreError`."""
    async with nodes(2) as (bad, good):
        bad.slots = lambda: slots
        good.verdict = lambda: verdict
        for node in (bad, good):
            async with store_over(node) as store:
                with pytest.raises(StoreError):
                    await remaining(store)
