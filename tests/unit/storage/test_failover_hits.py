"""What a request with several counters gets while the shared store, or a part of it, is away."""

import asyncio
from dataclasses import replace

import pytest

from authz_service.core.hits import Count, Counted, Fixed, Hit, Says
from authz_service.core.meter import Scope
from authz_service.core.rules import Rate, StoreFailure
from authz_service.errors import StoreError
from authz_service.observe.metrics import Metrics
from authz_service.storage.base import PartsFailedError
from authz_service.storage.breaker import INCIDENTS_TO_OPEN, PROBE_INTERVAL_MS
from authz_service.storage.denials import LONGEST_MS
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import ALONE, StandIn
from authz_service.testing.clock import ManualClock
from authz_service.testing.stores import Fault, FaultyStore

MINUTE = 60_000
TWO = Hit("a", Rate(name="minute", limit=2, window_ms=MINUTE))
WINDOW = Hit("b", Fixed(name="minute", limit=2, window_ms=MINUTE))
LOCAL, ALLOW, DENY = StoreFailure.LOCAL, StoreFailure.ALLOW, StoreFailure.DENY


class Stack:
    """A fail-over store with its parts in reach."""

    def __init__(self, *, sharing: int = ALONE) -> None:
        self.clock = ManualClock(1_900_000_020_000)  # a minute begins
        self.shared = FaultyStore(MemoryStore(self.clock))
        self.metrics = Metrics()
        self.store = FailoverStore(
            self.shared,
            stand_in=StandIn(self.clock, sharing=sharing),
            clock=self.clock,
            metrics=self.metrics,
        )

    async def over(self, *hits: Hit, times: int = 4) -> list[bool]:
        """Ask the same several times."""
        return [(await self.store.hit(hits)).over for _ in range(times)]

    async def probe(self) -> "asyncio.Task[Counted]":
        """A question that is on its way to a store that has been away."""
        self.shared.fault = Fault.FAILING
        for _ in range(INCIDENTS_TO_OPEN):
            await self.store.hit((replace(TWO, subject="other"),))
        self.shared.fault = Fault.SLOW
        self.clock.advance(PROBE_INTERVAL_MS)
        probe = asyncio.ensure_future(self.store.hit((TWO, WINDOW)))
        await asyncio.sleep(0)
        return probe

    def series(self, name: str) -> list[str]:
        """The lines of one series that are not zero."""
        lines = self.metrics.exposition().decode().splitlines()
        return [it for it in lines if it.startswith(name) and not it.endswith(" 0.0")]


def figures(counted: Counted) -> list[tuple[bool, int]]:
    """What each hit was told."""
    return [(it.over, it.remaining) for it in counted.counts if it]


async def test_a_working_store_counts() -> None:
    """Nothing is known of any fault."""
    stack = Stack()
    answer = await stack.store.hit((TWO, WINDOW))
    assert (answer.over, answer.scope, figures(answer)) == (
        False,
        Scope.SHARED,
        [(False, 1), (False, 1)],
    )
    assert stack.series('authz_store_calls_total{outcome="ok"}') == [
        'authz_store_calls_total{outcome="ok"} 1.0'
    ]


async def test_hits_are_counted_here_while_the_store_is_away() -> None:
    """Both kinds of windows go on from what the store last said, and say that it is only here."""
    stack = Stack()
    await stack.store.hit((TWO, WINDOW))
    stack.shared.fault = Fault.FAILING
    stack.clock.advance(1_000)
    first = await stack.store.hit((TWO, WINDOW))
    assert (first.over, first.scope) == (False, Scope.LOCAL)
    assert figures(first) == [(False, 0), (False, 0)]
    second = await stack.store.hit((TWO, WINDOW))
    assert (second.over, figures(second)) == (True, [(True, 0), (True, 0)])
    assert [it.retry_after_ms for it in second.counts if it] == [MINUTE, MINUTE - 1_000]
    assert stack.series("authz_fallback_decisions_total") == [
        'authz_fallback_decisions_total{scope="local"} 2.0'
    ]


async def test_what_the_store_counted_last_is_not_given_out_here_before_it_leaves_the_window() -> (
    None
):
    """When each comes free is not known: all are taken to be as new as the last."""
    stack = Stack()
    await stack.store.hit((TWO,))
    stack.clock.advance(MINUTE - 1_000)
    await stack.store.hit((TWO,))
    stack.shared.fault = Fault.FAILING
    for wait in (MINUTE, MINUTE - 1_000):
        answer = await stack.store.hit((TWO,))
        [count] = answer.counts
        assert count is not None
        assert (answer.over, count.remaining, count.reset_ms, count.retry_after_ms) == (
            *(True, 0, wait, wait),
        )
        stack.clock.advance(1_000)
    stack.clock.advance(MINUTE - 2_000)
    assert not (await stack.store.hit((TWO,))).over


@pytest.mark.parametrize("hit", [TWO, WINDOW], ids=["sliding", "fixed"])
async def test_what_was_counted_here_is_held_when_the_store_is_back(hit: Hit) -> None:
    """Two passed here: until they leave the window, none passes there."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    stack.clock.advance(10_000)
    assert await stack.over(hit) == [False, False, True, True]
    stack.shared.fault = None
    back = await stack.store.hit((hit,))
    assert (back.over, back.scope) == (True, Scope.SHARED)
    [count] = back.counts
    assert count is not None
    ends_ms = MINUTE if hit is TWO else 50_000
    assert count.retry_after_ms == ends_ms
    stack.clock.advance(ends_ms)
    assert not (await stack.store.hit((hit,))).over


@pytest.mark.parametrize("hit", [TWO, WINDOW], ids=["sliding", "fixed"])
async def test_what_is_on_its_way_to_the_store_is_not_given_out_here(hit: Hit) -> None:
    """A probe is under way for one of two places: one passes here, and none when it has passed."""
    stack = Stack()
    probe = await stack.probe()
    first, second = [await stack.store.hit((hit,)) for _ in range(2)]
    assert (first.over, figures(first)) == (False, [(False, 0)])
    [count] = second.counts
    assert count is not None
    ends_ms = MINUTE if hit is TWO else MINUTE - PROBE_INTERVAL_MS
    assert (second.over, count.reset_ms, count.retry_after_ms) == (True, ends_ms, ends_ms)
    stack.shared.fault = None
    assert not (await probe).over
    assert (await stack.store.hit((hit,))).over


@pytest.mark.parametrize("hit", [TWO, WINDOW], ids=["sliding", "fixed"])
async def test_what_was_given_up_is_not_under_way(hit: Hit) -> None:
    """A caller who has gone away during the probe takes no place here."""
    stack = Stack()
    probe = await stack.probe()
    probe.cancel()
    await asyncio.wait([probe])
    assert await stack.over(hit) == [False, False, True, True]


@pytest.mark.parametrize("fault", [None, Fault.FAILING])
async def test_a_repeated_id_is_counted_once_wherever_it_is_counted(fault: Fault | None) -> None:
    """In the shared store and in this process alone; the answer keeps its scope."""
    stack = Stack()
    stack.shared.fault = fault
    answers = [await stack.store.hit((TWO, WINDOW), once="1") for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert figures(await stack.store.hit((TWO, WINDOW), once="2")) == [(False, 0), (False, 0)]


async def test_a_denial_is_told_again_without_asking() -> None:
    """For a second, and then or when what is enforced has changed the store is asked."""
    stack = Stack()
    assert await stack.over(TWO) == [False, False, True, True]
    assert stack.shared.calls == 3
    stack.clock.advance(400)
    [count] = (await stack.store.hit((TWO,))).counts
    assert count is not None
    assert (count.over, count.counted, count.used_before) == (True, False, 2)
    assert (count.reset_ms, count.retry_after_ms) == (59_600, 59_600)
    assert stack.shared.calls == 3
    assert stack.series("authz_store_denials_recalled_total") == [
        "authz_store_denials_recalled_total 2.0"
    ]
    stack.store.forget_denials()
    await stack.over(TWO, times=1)
    assert stack.shared.calls == 4
    stack.clock.advance(LONGEST_MS)
    await stack.over(TWO, times=1)
    assert stack.shared.calls == 5


async def test_a_denial_of_a_fixed_window_is_not_told_again() -> None:
    """It counts what it refuses."""
    stack = Stack()
    assert await stack.over(WINDOW, times=4) == [False, False, True, True]
    [count] = (await stack.store.hit((WINDOW,))).counts
    assert count is not None
    assert count.used_before == 4


async def test_a_denial_from_memory_is_the_stores_own_while_it_is_away() -> None:
    """It still holds, and says nothing of whether the store answers."""
    stack = Stack()
    await stack.over(TWO, times=3)
    stack.shared.fault = Fault.FAILING
    assert (await stack.store.hit((TWO,))).scope is Scope.SHARED
    stack.clock.advance(LONGEST_MS)
    assert (await stack.store.hit((TWO,))).scope is Scope.LOCAL
    assert await stack.over(TWO) == [True] * 4
    assert stack.shared.calls == 8


async def test_a_denial_for_places_counted_here_is_not_told_again() -> None:
    """They may come free before those of the shared store do; those of others are."""
    stack = Stack()
    other = replace(TWO, subject="other")
    await stack.over(other, times=2)
    stack.shared.fault = Fault.FAILING
    assert await stack.over(TWO, times=2) == [False, False]
    stack.shared.fault = None
    assert await stack.over(TWO, times=2) == [True, True]
    assert stack.shared.calls == 6
    assert await stack.over(other, times=2) == [True, True]
    assert stack.shared.calls == 7


async def test_where_places_are_given_back_no_denial_is_told_again() -> None:
    """On a cluster a request may be refused for places that are free a moment later."""
    stack = Stack()
    stack.shared.gives_back = True
    await stack.over(TWO, times=5)
    assert stack.shared.calls == 5


async def test_a_process_admits_its_part_of_a_limit() -> None:
    """Two processes share four; a ban stays a ban, and more than the whole limit is too much."""
    stack = Stack(sharing=2)
    stack.shared.fault = Fault.FAILING
    four = replace(TWO, limit=replace(TWO.limit, limit=4))
    assert await stack.over(four) == [False, False, True, True]
    assert not (await stack.store.hit((replace(four, subject="c", cost=3),))).over
    assert (await stack.store.hit((replace(four, subject="d", cost=5),))).over
    nothing = replace(TWO, subject="e", limit=replace(TWO.limit, limit=0))
    assert (await stack.store.hit((nothing,))).over


async def test_allow_leaves_a_hit_out_and_local_counts_the_rest() -> None:
    """Who is not counted has no figures, in its place."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    out = replace(TWO, subject="c", on_store_failure=ALLOW)
    answers = [await stack.store.hit((out, TWO)) for _ in range(3)]
    assert [answer.over for answer in answers] == [False, False, True]
    assert [answer.counts[0] for answer in answers] == [None] * 3
    assert all(isinstance(answer.counts[1], Count) for answer in answers)
    uncounted = Counted(over=False, counts=(None, None), scope=Scope.UNCOUNTED)
    assert await stack.store.hit((out, out)) == uncounted
    assert stack.series('authz_fallback_decisions_total{scope="un') == [
        'authz_fallback_decisions_total{scope="uncounted"} 1.0'
    ]


async def test_deny_raises_whatever_the_others_want_but_not_in_shadow() -> None:
    """A limit in shadow refuses nobody, not for a store's fault either."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    denied = replace(TWO, subject="c", on_store_failure=DENY)
    with pytest.raises(StoreError):
        await stack.store.hit((TWO, replace(TWO, on_store_failure=ALLOW), denied))
    answer = await stack.store.hit((TWO, replace(denied, says=Says.SHADOW)))
    assert (answer.over, answer.counts[1]) == (False, None)


async def test_a_node_that_fails_is_left_alone_and_no_other() -> None:
    """Requests that need it are counted here; those of other nodes as before."""
    stack = Stack()
    stack.shared.fault = Fault.FAILING
    stack.shared.failing_part = "node b"
    stack.shared.parts = {"a": "node a", "b": "node b"}
    for _ in range(INCIDENTS_TO_OPEN):
        assert (await stack.store.hit((TWO, WINDOW))).scope is Scope.LOCAL
    calls = stack.shared.calls
    assert (await stack.store.hit((TWO, WINDOW))).scope is Scope.LOCAL
    assert stack.shared.calls == calls
    assert stack.store.is_failing
    assert stack.series('authz_store_calls_total{outcome="skipped"}')
    assert (await stack.store.hit((TWO,))).scope is Scope.SHARED
    assert stack.store.is_failing
    stack.shared.fault = None
    stack.clock.advance(PROBE_INTERVAL_MS)
    assert (await stack.store.hit((TWO, WINDOW))).scope is Scope.SHARED
    assert not stack.store.is_failing


async def test_a_store_that_fails_as_a_whole_is_left_alone_as_a_whole() -> None:
    """An error that names no part is every part's that was asked."""
    stack = Stack()
    stack.shared.parts = {"a": "node a", "b": "node b"}
    stack.shared.fault = Fault.FAILING
    await stack.over(TWO, WINDOW, times=INCIDENTS_TO_OPEN)
    calls = stack.shared.calls
    for hit in (TWO, WINDOW):
        await stack.over(hit)
    assert stack.shared.calls == calls


async def test_a_full_memory_is_told_and_opens_no_breaker() -> None:
    """Counters that are there go on."""
    clock = ManualClock()
    store = FailoverStore(
        MemoryStore(clock, max_counters=1),
        stand_in=StandIn(clock),
        clock=clock,
        metrics=Metrics(),
    )
    denied = replace(TWO, on_store_failure=DENY)
    await store.hit((denied,))
    for stranger in range(3 * INCIDENTS_TO_OPEN):
        with pytest.raises(StoreError, match="in use"):
            await store.hit((replace(denied, subject=str(stranger)),))
    assert not store.is_failing
    assert (await store.hit((denied,))).scope is Scope.SHARED


def test_an_error_of_some_parts_reads_as_one_of_them() -> None:
    """Whoever only logs it sees what happened."""
    assert str(PartsFailedError({"a": StoreError("too late")})) == "too late"
