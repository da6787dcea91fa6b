"""What a request gets while the shared store does not answer: every mode, every fault."""

import asyncio
import re
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from authz_service.core.meter import Metered, Scope
from authz_service.core.rules import Charge, Rate, StoreFailure
from authz_service.errors import StoreError
from authz_service.observe.metrics import Metrics
from authz_service.storage.breaker import INCIDENTS_TO_OPEN, PROBE_INTERVAL_MS
from authz_service.storage.denials import LONGEST_MS
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.recent import WINDOW_MS
from authz_service.storage.stand_in import StandIn
from authz_service.testing.clock import ManualClock
from authz_service.testing.stores import Fault, FaultyStore

TWO = (Charge(Rate(name="minute", limit=2, window_ms=60_000), 1),)


WIDE = (
    Charge(
        Rate(name="wide", limit=1_000, window_ms=60_000), 1, on_store_failure=StoreFailure.ALLOW
    ),
)


def failing(mode: StoreFailure) -> tuple[Charge, ...]:
    """One of two a minute, under a mode."""
    return tuple(replace(charge, on_store_failure=mode) for charge in TWO)


class Stack:
    """A fail-over store with its parts in reach."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shared = FaultyStore(MemoryStore(self.clock))
        self.metrics = Metrics()
        self.store = FailoverStore(
            self.shared, stand_in=StandIn(self.clock), clock=self.clock, metrics=self.metrics
        )

    async def charge(
        self, mode: StoreFailure = StoreFailure.LOCAL, *, once: str | None = None
    ) -> Metered:
        """Make one charge for one subject."""
        return await self.store.charge("key:a", failing(mode), once=once)

    async def answer(self) -> Metered:
        """Make a charge that no limit denies."""
        return await self.store.charge("key:a", WIDE)

    def breakers_open(self) -> str:
        """How many, as a scrape would tell it."""
        lines = self.metrics.exposition().decode().splitlines()
        (line,) = [it for it in lines if it.startswith("authz_store_breaker_open ")]
        return line.split()[1]

    def fallback_seconds(self) -> float:
        """How long the shared store was left alone, as a scrape would tell it."""
        (line,) = re.findall(
            rb"^authz_fallback_seconds_total (.*)$", self.metrics.exposition(), re.MULTILINE
        )
        return float(line)

    async def fail(self, times: int = INCIDENTS_TO_OPEN) -> None:
        """Let the shared store fail, one call after the other."""
        self.shared.fault = Fault.FAILING
        for _ in range(times):
            await self.answer()


@pytest.mark.parametrize("mode", StoreFailure)
async def test_a_working_store_counts_for_everybody(mode: StoreFailure) -> None:
    """No mode changes anything while the store answers."""
    answer = await Stack().charge(mode)
    assert (answer.admitted, answer.scope, answer.readings[0].remaining) == (True, Scope.SHARED, 1)


async def test_local_counts_the_same_window_in_this_process() -> None:
    """The limit still holds here, and the answer says that it holds only here."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    answers = [await stack.charge() for _ in range(3)]
    assert [answer.admitted for answer in answers] == [True, True, False]
    assert {answer.scope for answer in answers} == {Scope.LOCAL}
    assert answers[0].readings[0].remaining == 1


@pytest.mark.parametrize("fault", [None, Fault.FAILING])
async def test_a_repeated_id_is_charged_once_wherever_it_is_counted(fault: Fault | None) -> None:
    """In the shared store and in this process alone; the answer keeps its scope."""
    stack = Stack()
    stack.shared.fault = fault
    answers = [await stack.charge(once="1") for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert (await stack.charge(once="2")).readings[0].remaining == 0


async def test_allow_lets_through_without_figures() -> None:
    """Nothing was counted, so nothing is claimed about what is left."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    uncounted = Metered(admitted=True, readings=(), scope=Scope.UNCOUNTED)
    assert [await stack.charge(StoreFailure.ALLOW) for _ in range(9)] == [uncounted] * 9


async def test_each_limit_has_a_mode_of_its_own() -> None:
    """Those to be counted here are, those to be let through take no part, at either end."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    counted, passed = failing(StoreFailure.LOCAL), failing(StoreFailure.ALLOW)
    other = tuple(replace(it, limit=replace(it.limit, name="other")) for it in passed)
    answers = [await stack.store.charge("key:a", counted + other) for _ in range(3)]
    assert [answer.admitted for answer in answers] == [True, True, False]
    assert [[it.charge for it in answer.readings] for answer in answers] == [[*counted]] * 3


async def test_one_limit_to_be_denied_denies_the_request() -> None:
    """Whatever the others want; nothing is counted here."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    for _ in range(3):
        with pytest.raises(StoreError):
            await stack.store.charge(
                "key:a", failing(StoreFailure.LOCAL) + failing(StoreFailure.DENY)
            )
    assert [(await stack.charge()).admitted for _ in range(3)] == [True, True, False]


async def test_a_denial_is_told_again_without_asking() -> None:
    """For a second; and at once for another question, or when what is enforced has changed."""
    stack = Stack()
    answers = [await stack.charge() for _ in range(4)]
    assert [answer.admitted for answer in answers] == [True, True, False, False]
    assert stack.shared.calls == 3
    stack.clock.advance(400)
    assert (await stack.charge()).readings[0].retry_after_ms == 59_600
    assert stack.shared.calls == 3
    stack.store.forget_denials()
    await stack.charge()
    stack.clock.advance(LONGEST_MS)
    await stack.charge()
    assert stack.shared.calls == 5


async def test_a_denial_from_memory_is_the_stores_own_while_it_is_away() -> None:
    """It still holds, and says nothing of whether the store answers."""
    stack = Stack()
    for _ in range(3):
        await stack.charge()
    stack.shared.fault = Fault.FAILING
    assert (await stack.charge()).scope is Scope.SHARED
    stack.clock.advance(LONGEST_MS)
    assert (await stack.charge()).scope is Scope.LOCAL


async def test_a_denial_for_places_counted_here_is_not_told_again() -> None:
    """They may come free before those of the shared store do."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    assert [(await stack.charge()).admitted for _ in range(2)] == [True, True]
    stack.shared.fault = None
    assert [(await stack.charge()).admitted for _ in range(2)] == [False, False]
    assert stack.shared.calls == 4
    stack.clock.advance(60_000)
    assert (await stack.charge()).admitted


async def test_a_node_that_fails_is_left_alone_and_no_other() -> None:
    """Subjects of the other nodes are counted by all as before."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    stack.shared.failing_part = "b"
    stack.shared.parts = {"key:a": "a", "key:b": "b"}
    for _ in range(INCIDENTS_TO_OPEN):
        assert (await stack.store.charge("key:b", TWO)).scope is Scope.LOCAL
    calls = stack.shared.calls
    assert (await stack.store.charge("key:b", TWO)).scope is Scope.LOCAL
    assert stack.shared.calls == calls
    assert stack.store.is_failing
    assert (await stack.store.charge("key:a", TWO)).scope is Scope.SHARED
    assert stack.store.is_failing
    stack.shared.fault = None
    stack.clock.advance(PROBE_INTERVAL_MS)
    await stack.store.charge("key:b", TWO)
    assert not stack.store.is_failing


async def test_deny_raises() -> None:
    """The caller turns the error into a 503: before the breaker opens and after."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    for _ in range(INCIDENTS_TO_OPEN + 2):
        with pytest.raises(StoreError):
            await stack.charge(StoreFailure.DENY)


async def test_a_local_store_that_is_full_raises() -> None:
    """When this process cannot count either, nobody is let through by accident."""
    clock = ManualClock()
    broken = FaultyStore(MemoryStore(clock), fault=Fault.FAILING)
    store = FailoverStore(
        broken,
        stand_in=StandIn(clock, counters=MemoryStore(clock, max_counters=0)),
        clock=clock,
        metrics=Metrics(),
    )
    with pytest.raises(StoreError):
        await store.charge("key:a", failing(StoreFailure.LOCAL))


async def test_an_open_breaker_asks_the_store_once_a_second() -> None:
    """After five failures calls stop waiting for the store, but for one probe each second."""
    stack = Stack()
    await stack.fail()
    assert stack.store.is_failing
    calls = stack.shared.calls
    for _ in range(10):
        await stack.charge(StoreFailure.ALLOW)
    assert stack.shared.calls == calls
    stack.clock.advance(PROBE_INTERVAL_MS)
    for _ in range(10):
        await stack.charge(StoreFailure.ALLOW)
    assert stack.shared.calls == calls + 1


async def test_the_first_answer_closes_the_breaker() -> None:
    """Back to shared counting, for all, at once."""
    stack = Stack()
    await stack.fail()
    stack.shared.fault = None
    stack.clock.advance(PROBE_INTERVAL_MS)
    assert (await stack.charge()).scope is Scope.SHARED
    assert not stack.store.is_failing
    assert (await stack.charge()).scope is Scope.SHARED


async def test_four_failures_now_and_then_do_not_open_it() -> None:
    """Failures count without a success between them, or within a second."""
    stack = Stack()
    for _ in range(3):
        await stack.fail(INCIDENTS_TO_OPEN - 1)
        stack.shared.fault = None
        assert (await stack.answer()).scope is Scope.SHARED
        stack.clock.advance(WINDOW_MS)


async def test_a_store_that_fails_every_other_call_is_left_alone() -> None:
    """Five failures in ten calls within a second are enough, and one in two is not."""
    stack = Stack()
    for incidents in range(1, INCIDENTS_TO_OPEN + 1):
        stack.shared.fault = None
        await stack.answer()
        await stack.fail(1)
        assert stack.store.is_failing is (incidents == INCIDENTS_TO_OPEN)


async def test_an_error_that_tells_nothing_of_the_store_never_opens_it() -> None:
    """A memory full of live counters refuses new subjects; those it knows are still counted."""
    clock = ManualClock()
    store = FailoverStore(
        MemoryStore(clock, max_counters=1),
        stand_in=StandIn(clock),
        clock=clock,
        metrics=Metrics(),
    )
    await store.charge("key:known", failing(StoreFailure.DENY))
    for stranger in range(3 * INCIDENTS_TO_OPEN):
        with pytest.raises(StoreError, match="in use"):
            await store.charge(f"key:{stranger}", failing(StoreFailure.DENY))
    assert not store.is_failing
    assert (await store.charge("key:known", failing(StoreFailure.DENY))).scope is Scope.SHARED


async def test_such_errors_are_logged_once_a_second() -> None:
    """They open no breaker, so without this nobody would read of them, or of nothing else."""
    clock = ManualClock()
    store = FailoverStore(
        MemoryStore(clock, max_counters=0), stand_in=StandIn(clock), clock=clock, metrics=Metrics()
    )
    with capture_logs() as logs:
        for _ in range(3):
            for _ in range(10):
                await store.charge("key:a", failing(StoreFailure.ALLOW))
            clock.advance(1_000)
    assert [(line["log_level"], line["error"]) for line in logs] == [
        ("warning", "all 0 counters in memory are in use")
    ] * 3


async def test_what_is_on_its_way_to_the_store_is_not_given_out_here() -> None:
    """A probe is under way for one of the last places while others are counted here."""
    stack = Stack()
    await stack.fail()
    assert (await stack.charge()).admitted
    stack.shared.fault = Fault.SLOW
    stack.clock.advance(PROBE_INTERVAL_MS)
    probe = asyncio.ensure_future(stack.charge())
    await asyncio.sleep(0)
    assert not (await stack.charge()).admitted
    stack.shared.fault = None
    assert (await probe).admitted
    assert not (await stack.charge()).admitted


async def test_what_was_given_up_is_not_under_way() -> None:
    """A caller who has gone away during the probe takes no place here."""
    stack = Stack()
    await stack.fail()
    stack.shared.fault = Fault.SLOW
    stack.clock.advance(PROBE_INTERVAL_MS)
    probe = asyncio.ensure_future(stack.charge())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.wait([probe])
    assert [(await stack.charge()).admitted for _ in range(3)] == [True, True, False]


async def test_a_cancelled_probe_does_not_end_the_probing() -> None:
    """A client that hangs up during the probe leaves the next second's probe to somebody else."""
    stack = Stack()
    await stack.fail()
    stack.shared.fault = Fault.SLOW
    stack.clock.advance(PROBE_INTERVAL_MS)
    probe = asyncio.ensure_future(stack.charge())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.wait([probe])
    stack.shared.fault = None
    assert (await stack.charge()).scope is Scope.LOCAL
    stack.clock.advance(PROBE_INTERVAL_MS)
    assert (await stack.charge()).scope is Scope.SHARED


async def test_a_lying_store_is_believed() -> None:
    """Fail-over sees errors only; that answers make sense is for each store to check."""
    stack = Stack()
    stack.shared.fault = Fault.LYING
    assert [(await stack.charge()).admitted for _ in range(4)] == [True] * 4


async def test_a_store_that_is_not_there_at_the_start_is_told_of_and_tried_again() -> None:
    """Connecting ahead is for speed: a worker starts without it, and the next charge connects."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    with capture_logs() as logs:
        await stack.store.connect()
    assert [line["event"] for line in logs] == ["the counter store is not there yet"]
    stack.shared.fault = None
    assert (await stack.charge()).scope is Scope.SHARED


async def test_closing_closes_both() -> None:
    """After `close` neither store counts."""
    stack = Stack()
    await stack.store.close()
    with pytest.raises(StoreError, match="closed"):
        await stack.charge()


async def test_open_breakers_are_counted_by_part() -> None:
    """Each part that is left alone is one more, until it answers again."""
    stack = Stack()
    stack.shared.parts = {"key:a": "a", "key:b": "b"}
    told = [stack.breakers_open()]
    stack.shared.fault = Fault.FAILING
    for subject in ("key:a", "key:b"):
        for _ in range(INCIDENTS_TO_OPEN):
            await stack.store.charge(subject, WIDE)
        told.append(stack.breakers_open())
    stack.shared.fault = None
    for subject in ("key:a", "key:b"):
        stack.clock.advance(PROBE_INTERVAL_MS)
        await stack.store.charge(subject, WIDE)
        told.append(stack.breakers_open())
    assert told == ["0.0", "1.0", "2.0", "1.0", "0.0"]


async def test_the_time_without_the_store_is_told_while_it_lasts() -> None:
    """And does not fall or go on when the store answers again; the next time is added to it."""
    stack = Stack()
    stack.metrics.fallback_followed(lambda: stack.store.failing_ms / 1000)
    await stack.fail()
    stack.clock.advance(PROBE_INTERVAL_MS)
    assert stack.fallback_seconds() == PROBE_INTERVAL_MS / 1000
    stack.shared.fault = None
    await stack.answer()
    stack.clock.advance(60_000)
    assert stack.fallback_seconds() == PROBE_INTERVAL_MS / 1000
    await stack.fail()
    stack.clock.advance(250)
    assert stack.fallback_seconds() == PROBE_INTERVAL_MS / 1000 + 0.25


async def test_a_second_node_that_fails_starts_no_new_time() -> None:
    """Two nodes that are gone at once are one time, from the first on."""
    stack = Stack()
    await stack.fail()
    stack.clock.advance(100)
    stack.shared.parts["key:a"] = "other"
    await stack.fail()
    assert stack.breakers_open() == "2.0"
    assert stack.store.failing_ms == 100
