"""What callers see while a real server is killed, paused, restarted or emptied."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from authz_service.clock import SystemClock
from authz_service.core.counter_key import counter_keys
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Rate
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore, InconclusiveError
from authz_service.storage.from_url import store_from_url
from tests.conformance.storage.server import Server

DEADLINE_MS = 100
SLACK_MS = 400  # other tests share the machine
MINUTE = (Charge(Rate(name="per-minute", limit=1000, window_ms=60_000), 1),)


@pytest_asyncio.fixture
async def store(server: Server) -> AsyncIterator[CounterStore]:
    """A store as it is deployed, with a deadline that a busy machine keeps."""
    store = new_store(server.url)
    yield store
    await store.close()


def new_store(url: str) -> CounterStore:
    """Build a store."""
    return store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=DEADLINE_MS)


async def remaining(store: CounterStore, subject: str = "key:a") -> int:
    """Charge once and return what is left."""
    return (await store.charge(subject, MINUTE)).readings[0].remaining


async def recovered(store: CounterStore) -> Metered:
    """Charge until it works, as a client does; the test's own time limit ends it."""
    while True:
        try:
            return await store.charge("key:a", MINUTE)
        except StoreError:
            await asyncio.sleep(0.01)


async def test_a_connection_can_be_made_before_the_first_charge(
    server: Server, store: CounterStore
) -> None:
    """The charge then finds it there; connecting twice makes no second one."""
    await store.connect()
    made = sidecar_connections(server)
    assert len(made) == 1
    await store.connect()
    assert await remaining(store) == 999
    assert sidecar_connections(server) == made


async def test_a_server_that_says_nothing_is_not_connected_to(
    server: Server, store: CounterStore
) -> None:
    """One attempt, a second at most; the next one waits for its turn."""
    server.pause()
    began = SystemClock().monotonic_ms()
    with pytest.raises(StoreError):
        await store.connect()
    assert SystemClock().monotonic_ms() - began < 1_000 + SLACK_MS
    with pytest.raises(InconclusiveError, match="yet"):
        await store.connect()


async def test_a_server_that_says_nothing_costs_one_deadline(
    server: Server, store: CounterStore
) -> None:
    """All callers of a paused server give up together, after the deadline and soon after it."""
    await remaining(store)
    server.pause()
    began = SystemClock().monotonic_ms()
    answers = await asyncio.gather(
        *(store.charge(f"key:{n}", MINUTE) for n in range(50)), return_exceptions=True
    )
    elapsed = SystemClock().monotonic_ms() - began
    assert {type(answer) for answer in answers} == {StoreError}
    assert DEADLINE_MS - 1 <= elapsed < DEADLINE_MS + SLACK_MS


async def test_a_paused_server_is_used_again_when_it_goes_on(
    server: Server, store: CounterStore
) -> None:
    """The late replies of the old connection are not taken for those of the new one."""
    assert await remaining(store) == 999
    server.pause()
    with pytest.raises(StoreError, match="in time"):
        await store.charge("key:a", MINUTE)
    server.resume()
    answer = await recovered(store)
    # The charge that timed out may have been taken when the server went on, and the probes too.
    assert answer.readings[0].remaining < 999
    assert await remaining(store, "key:b") == 999


async def test_a_paused_server_cannot_make_a_new_caller_wait_longer(server: Server) -> None:
    """Connecting counts against the same deadline."""
    server.pause()
    store = new_store(server.url)
    began = SystemClock().monotonic_ms()
    with pytest.raises(StoreError):
        await store.charge("key:a", MINUTE)
    assert SystemClock().monotonic_ms() - began < DEADLINE_MS + SLACK_MS
    await store.close()


async def test_a_server_killed_in_mid_flight_fails_every_waiting_caller(
    server: Server, store: CounterStore
) -> None:
    """Nobody is left waiting when the socket goes away."""
    await remaining(store)
    server.pause()
    waiting = [asyncio.ensure_future(store.charge(f"key:{n}", MINUTE)) for n in range(20)]
    await asyncio.sleep(0)
    server.kill()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreError}


async def test_a_restarted_server_is_used_without_restarting_anything_else(
    server: Server, store: CounterStore
) -> None:
    """Gone, every call fails at once; back, the next ones work."""
    await remaining(store)
    server.kill()
    for _ in range(5):
        with pytest.raises(StoreError):
            await store.charge("key:a", MINUTE)
    server.start()
    assert (await recovered(store)).readings[0].remaining == 999


async def test_a_forgotten_script_is_sent_again(server: Server, store: CounterStore) -> None:
    """SCRIPT FLUSH is not noticed by callers, however many there are."""
    await remaining(store)
    server.admin.script_flush()
    left = await asyncio.gather(*(remaining(store) for _ in range(20)))
    assert sorted(left) == list(range(979, 999))


async def test_a_demoted_server_is_left_and_found_again_when_promoted(
    server: Server, store: CounterStore
) -> None:
    """A replica refuses to write; the calls after that ask for the server anew."""
    await remaining(store)
    first = sidecar_connections(server)
    server.admin.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreError, match="READONLY"):
        await store.charge("key:a", MINUTE)
    server.admin.replicaof("NO", "ONE")
    assert (await recovered(store)).readings[0].remaining == 998
    assert len(first) == 1
    assert sidecar_connections(server).isdisjoint(first)


@pytest.mark.parametrize("spoil", ["lpush", "set"])
async def test_a_key_that_holds_no_counter_fails_its_subject_alone(
    server: Server, store: CounterStore, spoil: str
) -> None:
    """The error is told apart from one of the server, and the connection is kept."""
    await remaining(store)
    connections = sidecar_connections(server)
    getattr(server.admin, spoil)(counter_keys("key:b", MINUTE)[0], "x")
    with pytest.raises(InconclusiveError, match="refused to count"):
        await store.charge("key:b", MINUTE)
    assert await remaining(store) == 998
    assert sidecar_connections(server) == connections


def sidecar_connections(server: Server) -> set[str]:
    """Return the server's own numbers of the connections that the store made."""
    clients = server.admin.client_list()
    return {client["id"] for client in clients if client["name"] == "authz_service"}


async def test_a_caller_who_goes_away_does_not_shift_the_replies(store: CounterStore) -> None:
    """Every third of sixty callers is cancelled; each of the others gets its own answer."""
    callers = {n: asyncio.ensure_future(_charge_times(store, n)) for n in range(1, 61)}
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for n in range(3, 61, 3):
        callers[n].cancel()
    answers = await asyncio.gather(*callers.values(), return_exceptions=True)
    for n, answer in zip(callers, answers, strict=True):
        assert n % 3 == 0 or answer == 1000 - n
    assert await remaining(store, "key:after") == 999


async def _charge_times(store: CounterStore, cost: int) -> int:
    charges = (Charge(MINUTE[0].limit, cost),)
    return (await store.charge(f"key:{cost}", charges)).readings[0].remaining


async def test_a_first_caller_who_gives_up_does_not_take_the_connection_along(
    store: CounterStore,
) -> None:
    """The attempt to connect goes on for those who came after."""
    first = asyncio.ensure_future(remaining(store, "key:first"))
    second = asyncio.ensure_future(remaining(store, "key:second"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 999


async def test_closing_while_connecting_leaves_nothing_open(server: Server) -> None:
    """A store closed in the middle of its first call ends that call and its socket."""
    server.pause()
    store = new_store(server.url)
    caller = asyncio.ensure_future(store.charge("key:a", MINUTE))
    await asyncio.sleep(0.01)
    await store.close()
    with pytest.raises(StoreError):
        await caller
