"""A store is followed: loads, changes, gaps and outages, without a server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import digests
from authz_service.core.verdict import Reason
from authz_service.errors import StoreError
from authz_service.identity.key_changes import Mark, News, Page, Version
from authz_service.identity.key_codec import encode
from authz_service.identity.key_feed import KeyFeed
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.key_store import KeyChange, StoredKey
from authz_service.identity.last_used import LastUsed
from authz_service.identity.store_keys import StoreKeys
from authz_service.observe.metrics import Metrics
from authz_service.testing.builders import stored_key
from authz_service.testing.clock import ManualClock
from authz_service.testing.key_store import MemoryKeyStore

SOON_S = 5.0
ONE, TWO, THREE = stored_key("one"), stored_key("two"), stored_key("three")


def value(metrics: Metrics, name: str) -> float:
    """The value of a series."""
    families = text_string_to_metric_families(metrics.exposition().decode())  # type: ignore[no-untyped-call]
    (found,) = [it.value for family in families for it in family.samples if it.name == name]
    return float(found)


@dataclass
class Process:
    """One process that follows a store."""

    store: MemoryKeyStore = field(default_factory=MemoryKeyStore)
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        self.keys = StoreKeys(KeyIndex({}), clock=self.clock, max_stale_ms=600_000)

    def feed(self) -> KeyFeed:
        """What keeps the keys the same as the store."""
        return KeyFeed(
            self.store, keys=self.keys, clock=self.clock, random=lambda: 0.0, metrics=self.metrics
        )

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """The feed at work, after its first load."""
        async with running(self.feed().run()):
            await soon(lambda: value(self.metrics, "authz_key_store_up") == 1)
            yield

    def find(self, key_id: str) -> ApiKeyRecord | Reason:
        """What is said of the secret of an id."""
        return self.keys.find(digests(f"secret-of-{key_id}".encode(), ()))

    def knows(self, key_id: str) -> bool:
        """Whether there is a record."""
        return isinstance(self.find(key_id), ApiKeyRecord)

    @property
    def last_read_ms(self) -> float:
        """When the store was last read to its end."""
        return value(self.metrics, "authz_key_store_last_read_timestamp_seconds") * 1000

    @property
    def loads(self) -> float:
        """How often the whole store was read."""
        return value(self.metrics, "authz_key_store_reloads_total")


@asynccontextmanager
async def running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """A task, for as long as the block lasts."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done(), "it has ended"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def soon(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells when a process has learned something
            await asyncio.sleep(0.001)


async def make(store: MemoryKeyStore, *keys: StoredKey) -> None:
    """New keys."""
    await store.apply([KeyChange(None, key) for key in keys])


@pytest.fixture
async def process() -> Process:
    """A process, and an empty store."""
    return Process()


async def test_what_is_there_and_what_comes_is_known(process: Process) -> None:
    """The records of before, new ones, changed ones, and the end of each."""
    await make(process.store, ONE, TWO, THREE)
    async with process.following():
        assert all(process.knows(key_id) for key_id in ("one", "two", "three"))
        assert value(process.metrics, "authz_keys_loaded") == 3

        await make(process.store, stored_key("four"))
        await process.store.apply([KeyChange(ONE, None), KeyChange(TWO, replace(TWO, tier="pro"))])
        await soon(lambda: process.find("one") is Reason.UNKNOWN_KEY)

        assert process.knows("four")
        record = process.find("two")
        assert isinstance(record, ApiKeyRecord)
        assert record.tier == "pro"
    assert process.loads == 1
    assert process.store.closed


async def test_a_change_that_was_not_told_is_noticed(process: Process) -> None:
    """The generation says that there was one; everything is read anew."""
    await make(process.store, ONE)
    async with process.following():
        process.store.versions["two"] = Version("two", 2, encode(TWO))
        del process.store.versions["one"]
        process.store.generation += 2
        await soon(lambda: process.loads == 2)
        assert process.knows("two")
        await soon(lambda: process.find("one") is Reason.UNKNOWN_KEY)


async def test_a_change_that_was_passed_over_is_noticed(process: Process) -> None:
    """The next one does not have the number that it should."""
    await make(process.store, ONE)
    async with process.following():
        await process.store.apply([KeyChange(ONE, None), KeyChange(None, TWO)])
        del process.store.changes[-2]
        await soon(lambda: process.loads == 2)
        assert process.knows("two")
        await soon(lambda: process.find("one") is Reason.UNKNOWN_KEY)


async def test_a_store_that_begins_anew_is_read_anew(process: Process) -> None:
    """After a wipe its changes count from one again: none of them is taken for an old one."""
    await make(process.store, ONE, TWO)
    async with process.following():
        process.store.versions.clear()
        process.store.changes.clear()
        process.store.generation = 0
        await make(process.store, THREE)
        await soon(lambda: process.find("one") is Reason.UNKNOWN_KEY)
        assert process.knows("three")


async def test_an_outage_ends_with_everything_read_anew(process: Process) -> None:
    """What changed meanwhile is known then, and one line each tells of beginning and end."""
    await make(process.store, ONE)
    with capture_logs() as logs:
        async with process.following():
            process.store.fails = True
            await soon(lambda: value(process.metrics, "authz_key_store_up") == 0)
            assert process.knows("one")
            process.store.fails = False
            await process.store.apply([KeyChange(ONE, None)])
            await soon(lambda: not process.knows("one"))
            await soon(lambda: value(process.metrics, "authz_key_store_up") == 1)
    assert process.loads == 2
    assert [line["event"] for line in logs] == [
        "the key store cannot be read",
        "the key store answers again",
    ]


async def test_a_store_that_is_away_at_the_start_holds_nobody_up(process: Process) -> None:
    """The process is up, says so, and learns everything when the store comes."""
    await make(process.store, ONE)
    process.store.fails = True
    async with running(process.feed().run()):
        await asyncio.sleep(0.01)
        assert value(process.metrics, "authz_key_store_up") == 0
        assert process.find("one") is Reason.KEY_STORE_UNAVAILABLE
        process.store.fails = False
        await soon(lambda: process.knows("one"))


async def test_what_is_held_stays_fresh_while_nothing_changes(process: Process) -> None:
    """Every look at the store counts, also one that finds nothing."""
    async with process.following():
        for _ in range(5):
            process.clock.advance(1_400)
            await soon(lambda: process.last_read_ms == process.clock.now_ms())
            assert process.find("one") is Reason.UNKNOWN_KEY


class Staged(MemoryKeyStore):
    """A store whose pages are held back after they were read."""

    def __init__(self) -> None:
        super().__init__()
        self.has_read = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def page(self, cursor: int, after: Mark) -> Page:
        """A page as it was, told later."""
        page = await super().page(cursor, after)
        self.has_read.set()
        await self.may_go_on.wait()
        return page


async def test_a_key_revoked_while_it_is_loaded_does_not_count() -> None:
    """The page that still shows it arrives after the revocation, which comes with the next one."""
    store = Staged()
    process = Process(store)
    await make(store, ONE, TWO, THREE)
    async with running(process.feed().run()):
        await store.has_read.wait()
        await store.apply([KeyChange(ONE, None)])
        store.may_go_on.set()
        await soon(lambda: process.knows("two"))
        assert process.find("one") is Reason.UNKNOWN_KEY


async def test_a_key_known_before_is_gone_though_an_old_page_shows_it() -> None:
    """During a reload as well."""
    store = Staged()
    store.may_go_on.set()
    process = Process(store)
    await make(store, ONE, TWO)
    async with process.following():
        store.may_go_on.clear()
        store.has_read.clear()
        store.generation += 1
        await store.has_read.wait()
        assert process.knows("one")
        await store.apply([KeyChange(ONE, None)])
        store.may_go_on.set()
        await soon(lambda: not process.knows("one"))
        await soon(lambda: process.loads == 2)
        assert process.find("one") is Reason.UNKNOWN_KEY


class Endless(MemoryKeyStore):
    """A store whose generation is ahead of what it tells."""

    ahead = 1

    async def check(self, after: Mark) -> tuple[int, News]:
        """More than there is."""
        generation, news = await super().check(after)
        return generation + self.ahead, news


async def test_a_store_that_never_adds_up_is_not_believed() -> None:
    """It is read again and again, more and more slowly, and no unknown key is refused."""
    process = Process(Endless())
    await make(process.store, ONE)
    with capture_logs() as logs:
        async with running(process.feed().run()):
            await asyncio.sleep(0.2)
            assert process.find("two") is Reason.KEY_STORE_UNAVAILABLE
    assert 1 <= len(logs) <= 4


async def test_while_a_gap_is_closed_no_unknown_key_is_refused() -> None:
    """Not for the second and a half either that the last good look would otherwise be good for."""
    store = Endless()
    store.ahead = 0
    process = Process(store)
    async with process.following():
        assert process.find("one") is Reason.UNKNOWN_KEY
        store.ahead = 1
        await soon(lambda: process.find("one") is Reason.KEY_STORE_UNAVAILABLE)
        store.ahead = 0
        await soon(lambda: process.find("one") is Reason.UNKNOWN_KEY)


async def test_uses_are_written_at_the_end(process: Process) -> None:
    """Whatever was noted since the last time; then the store is let go."""
    await make(process.store, ONE)
    async with process.following():
        process.find("one")
        async with running(
            LastUsed(process.store, keys=process.keys, metrics=process.metrics).run()
        ):
            await asyncio.sleep(0)
            assert process.store.used == {}
        assert process.store.used == {"one": process.clock.now_ms()}
        assert process.store.closed


async def test_uses_are_written_from_time_to_time(process: Process) -> None:
    """In one call for all that was noted; what cannot be written is dropped and counted."""
    await make(process.store, ONE, TWO)
    async with process.following():
        uses = LastUsed(process.store, keys=process.keys, metrics=process.metrics, interval_s=0.001)
        async with running(uses.run()):
            process.find("one")
            process.find("two")
            await soon(lambda: process.store.used.keys() == {"one", "two"})
            process.store.fails = True
            process.find("one")
            await soon(lambda: value(process.metrics, "authz_key_store_uses_dropped_total") == 1)
            process.store.fails = False


async def test_many_uses_are_written_in_parts(process: Process) -> None:
    """No part is so large that a check would wait for it, and none is left out."""
    sizes: list[int] = []

    class Watched(MemoryKeyStore):
        async def note_used(self, uses: Mapping[str, int]) -> None:
            sizes.append(len(uses))
            await super().note_used(uses)

    made = [stored_key(f"key-{number}") for number in range(1_201)]
    await make(process.store, *made)
    log = Watched()
    async with process.following():
        for key in made:
            process.find(key.id)
        async with running(LastUsed(log, keys=process.keys, metrics=process.metrics).run()):
            await asyncio.sleep(0)
    assert sizes == [500, 500, 201]
    assert log.used.keys() == {key.id for key in made}


async def test_nothing_is_written_while_nothing_is_used(process: Process) -> None:
    """An idle process asks nothing of the store."""
    process.store.fails = True
    uses = LastUsed(process.store, keys=process.keys, metrics=process.metrics, interval_s=0.001)
    async with running(uses.run()):
        await asyncio.sleep(0.01)
    assert value(process.metrics, "authz_key_store_uses_dropped_total") == 0


async def test_a_store_that_fails_on_purpose_fails_everywhere() -> None:
    """The double of these tests does what they rely on."""
    store = MemoryKeyStore()
    store.fails = True
    for call in (store.mark(), store.find("one"), store.note_used({}), store.apply([])):
        with pytest.raises(StoreError):
            await call
