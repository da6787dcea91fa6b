"""A real cluster: every subject at its node, slots that move, nodes that die and hang."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.crc import key_slot

from authz_service.core.counter_key import subject_key
from authz_service.core.hits import Fixed, Hit
from authz_service.core.rules import Rate
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore
from authz_service.storage.redis.script import counting_scripts
from tests.integration.storage.topology import (
    DEADLINE_MS,
    LIMIT,
    MINUTE,
    MINUTE_AND_DAY,
    SUBJECTS,
    opened,
    recovered,
    remaining,
    traffic,
)
from tests.servers.cluster import ClusterServers

pytestmark = pytest.mark.slow

WINDOWS = (
    Hit("key:a", Rate(name="hit", limit=LIMIT, window_ms=60_000)),
    Hit("key:a", Fixed(name="hit", limit=LIMIT, window_ms=31_536_000_000)),
)
SLACK_MS = 600  # other tests share the machine, and the servers are six


@pytest_asyncio.fixture
async def store(cluster: ClusterServers) -> AsyncIterator[CounterStore]:
    """A store over the cluster, connected."""
    async with opened(cluster.url) as store:
        await store.connect()
        yield store


def node_of(cluster: ClusterServers, subject: str = "key:a") -> int:
    """The port of the node that serves a subject, as the cluster says."""
    return cluster.primary_of(subject_key(subject).decode())


def elsewhere(cluster: ClusterServers, port: int) -> int:
    """Another primary."""
    return next(other for other in cluster.primaries() if other != port)


def commands(cluster: ClusterServers, port: int, name: str) -> int:
    """How often a node has been given a command."""
    stats = cluster.nodes[port].admin.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def test_each_subject_is_counted_at_its_node(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """The part of a subject is the address of the node that serves it, and it counts there."""
    for subject in SUBJECTS:
        assert await remaining(store, subject) == LIMIT - 1
        assert store.part_of(subject) == f"127.0.0.1:{node_of(cluster, subject)}"
    counts = {port: cluster.nodes[port].admin.dbsize() for port in cluster.primaries()}
    assert sum(counts.values()) == len(SUBJECTS)
    assert min(counts.values()) > 0


async def test_nothing_is_known_before_the_first_charge(cluster: ClusterServers) -> None:
    """The part is unnamed until then; the charge learns the nodes within its own deadline."""
    async with opened(cluster.url) as store:
        assert store.part_of("key:a") == ""
        assert await remaining(store) == LIMIT - 1
        assert store.part_of("key:a") == f"127.0.0.1:{node_of(cluster)}"


async def test_a_reset_forgets_one_subject(cluster: ClusterServers, store: CounterStore) -> None:
    """Several keys in one slot are deleted by one command, wherever that slot is."""
    for subject in SUBJECTS:
        await remaining(store, subject)
        await store.reset(subject, tuple(charge.limit for charge in MINUTE))
    assert sum(cluster.nodes[port].admin.dbsize() for port in cluster.primaries()) == 0


async def test_one_seed_that_answers_is_enough(cluster: ClusterServers) -> None:
    """The others may be down or no nodes at all; the rest of the cluster is learnt from it."""
    await asyncio.to_thread(cluster.pause, cluster.ports[4])
    seeds = f"127.0.0.1:1,127.0.0.1:{cluster.ports[4]},127.0.0.1:{cluster.ports[5]}"
    async with opened(f"redis+cluster://{seeds}", timeout_ms=1_000) as store:
        for subject in SUBJECTS:
            assert await remaining(store, subject) == LIMIT - 1


async def test_a_slot_that_is_moving_is_followed_both_ways(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """ASK while it moves, MOVED when it has: no charge fails, the script is sent where it lacks."""
    slot = key_slot(subject_key("key:a"))
    old = node_of(cluster)
    new = elsewhere(cluster, old)
    names = {port: cluster.nodes[port].ask("CLUSTER MYID") for port in (old, new)}
    assert await remaining(store, "key:a") == LIMIT - 1
    cluster.flush()
    try:
        cluster.nodes[new].ask("CLUSTER SETSLOT", slot, "IMPORTING", names[old])
        cluster.nodes[old].ask("CLUSTER SETSLOT", slot, "MIGRATING", names[new])
        assert [await remaining(store, "key:a") for _ in range(2)] == [LIMIT - 1, LIMIT - 2]
        assert store.part_of("key:a") == f"127.0.0.1:{old}"
        assert commands(cluster, new, "asking") >= 2
        for port in (new, old):
            cluster.nodes[port].ask("CLUSTER SETSLOT", slot, "NODE", names[new])
        assert await remaining(store, "key:a") == LIMIT - 3
        assert store.part_of("key:a") == f"127.0.0.1:{new}"
    finally:
        cluster.flush()
        for port in (old, new):
            cluster.nodes[port].ask("CLUSTER SETSLOT", slot, "NODE", names[old])
        cluster.nodes[old].ask("CLUSTER BUMPEPOCH")  # so that its claim is the latest
    assert await recovered(store) <= LIMIT - 1


async def test_a_subject_that_is_counted_already_is_served_while_its_slot_moves(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """Before its keys are sent over and after, though no answer can be remembered beside them."""
    slot = key_slot(subject_key("key:a"))
    old = node_of(cluster)
    new = elsewhere(cluster, old)
    nodes = {port: cluster.nodes[port] for port in (old, new)}
    names = {port: node.ask("CLUSTER MYID") for port, node in nodes.items()}

    async def left(once: str) -> list[int]:
        metered = await store.charge("key:a", MINUTE_AND_DAY, once=once)
        counted = await store.hit(WINDOWS, once=once)
        counts = [count.remaining for count in counted.counts if count]
        return [reading.remaining for reading in metered.readings] + counts

    assert await left("1") == [LIMIT - 1] * 4
    try:
        nodes[new].ask("CLUSTER SETSLOT", slot, "IMPORTING", names[old])
        nodes[old].ask("CLUSTER SETSLOT", slot, "MIGRATING", names[new])
        assert await left("2") == [LIMIT - 2] * 4
        keys = nodes[old].ask("CLUSTER GETKEYSINSLOT", slot, 10)
        nodes[old].ask("MIGRATE", "127.0.0.1", new, "", 0, 1_000, "KEYS", *keys)
        assert await left("3") == [LIMIT - 3] * 4
    finally:
        cluster.flush()
        for port in (old, new):
            nodes[port].ask("CLUSTER SETSLOT", slot, "NODE", names[old])


async def test_a_forgotten_script_is_sent_to_the_node_that_forgot_it(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """The other nodes keep theirs, and nobody notices."""
    for subject in SUBJECTS:
        await remaining(store, subject)
    node = cluster.nodes[node_of(cluster)]
    node.admin.script_flush()
    assert await remaining(store) <= LIMIT - 1
    assert node.admin.script_exists(counting_scripts().charge.digest) == [True]


async def test_a_failover_by_hand_fails_no_charge(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """Replica and primary change places under load: charges wait or follow, none is refused."""
    old = node_of(cluster)
    async with traffic(store) as seen:
        new = await asyncio.to_thread(cluster.failover, old)
        await asyncio.sleep(0.3)
    assert seen.failed == {}
    assert len(seen.taken) == len(SUBJECTS)
    assert await remaining(store) <= LIMIT - 1
    assert store.part_of("key:a") == f"127.0.0.1:{new}"


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_a_node_that_goes_is_replaced_and_the_others_do_not_notice(
    cluster: ClusterServers, store: CounterStore, fault: str
) -> None:
    """Its subjects fail, each soon, until the replica is promoted; all others never do."""
    gone = node_of(cluster, SUBJECTS[0])
    here = {subject for subject in SUBJECTS if node_of(cluster, subject) == gone}
    async with traffic(store) as seen:
        await asyncio.sleep(0.2)
        getattr(cluster, fault)(gone)
        new = await asyncio.to_thread(cluster.promoted, gone)
        async with asyncio.timeout(2.0):
            for subject in here:
                await recovered(store, subject)
        failed = {subject: len(errors) for subject, errors in seen.failed.items()}
        await asyncio.sleep(0.2)
        assert {subject: len(errors) for subject, errors in seen.failed.items()} == failed
    assert set(seen.failed) == here
    assert len(seen.taken) == len(SUBJECTS)
    assert seen.longest_ms < 2 * DEADLINE_MS + SLACK_MS
    assert {store.part_of(subject) for subject in here} == {f"127.0.0.1:{new}"}


async def test_an_old_primary_that_comes_back_is_no_trouble(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """It is a replica now, sends whoever asks it on, and holds no connection of ours."""
    gone = node_of(cluster)
    assert await remaining(store) == LIMIT - 1
    await asyncio.sleep(0.1)  # the replica has it
    cluster.pause(gone)
    await asyncio.to_thread(cluster.promoted, gone)
    async with asyncio.timeout(3.0):
        assert await recovered(store) == LIMIT - 2
    cluster.resume(gone)
    await asyncio.to_thread(cluster.whole)
    assert await remaining(store) == LIMIT - 3
    names = [client["name"] for client in cluster.nodes[gone].admin.client_list()]
    assert "authz_service" not in names
    async with opened(f"redis+cluster://127.0.0.1:{gone}", timeout_ms=1_000) as another:
        assert await remaining(another) == LIMIT - 4


async def test_a_cluster_that_is_gone_is_a_store_error_at_once_and_comes_back(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """All six nodes hang: every charge ends in time; when they go on, so do the charges."""
    await remaining(store)
    for port in cluster.ports:
        cluster.pause(port)
    async with traffic(store) as seen:
        await asyncio.sleep(0.5)
    assert seen.taken == {}
    assert seen.longest_ms < 2 * DEADLINE_MS + SLACK_MS
    with pytest.raises(StoreError):
        await store.connect()
    for port in cluster.ports:
        cluster.resume(port)
    await asyncio.to_thread(cluster.whole)
    async with asyncio.timeout(3.0):
        await recovered(store)


async def test_a_slot_that_nobody_serves_fails_its_subjects_alone(
    cluster: ClusterServers, store: CounterStore
) -> None:
    """A hole in the cluster is a store error for those in it, until it is filled."""
    old = node_of(cluster)
    slot = key_slot(subject_key("key:a"))
    other = next(it for it in SUBJECTS if node_of(cluster, it) == old)
    assert await remaining(store) == LIMIT - 1
    cluster.nodes[old].ask("CLUSTER DELSLOTS", slot)
    with pytest.raises(StoreError, match="CLUSTERDOWN"):
        await remaining(store)
    assert await remaining(store, other) <= LIMIT - 1
    cluster.nodes[old].ask("CLUSTER ADDSLOTS", slot)
    async with asyncio.timeout(3.0):
        await recovered(store)
    await asyncio.to_thread(cluster.whole)
