"""However requests with several counters are mixed, no sliding window holds more than its limit."""

from collections import defaultdict
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.hits import Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.observe.metrics import Metrics
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.clock import ManualClock
from authz_service.testing.stores import Fault, FaultyStore

WINDOW = 4_000
LIMITS = [Rate(name=str(limit), limit=limit, window_ms=WINDOW) for limit in (0, 1, 3, 1_500)]
HITS = st.lists(
    st.builds(
        Hit,
        st.sampled_from("ab"),
        st.sampled_from([*LIMITS, Fixed(name="fixed", limit=3, window_ms=WINDOW)]),
        st.sampled_from([0, 1, 1, 1, 2, 400]),
        st.sampled_from(Says),
    ),
    min_size=1,
    max_size=5,
)
PAUSES = st.one_of(st.integers(0, 1_500), st.sampled_from([0, 0, 0, WINDOW - 1, WINDOW]))
AWAY = st.sampled_from([None, None, False, True])


@given(steps=st.lists(st.tuples(PAUSES, HITS, AWAY), max_size=60))
async def test_no_sliding_window_exceeds_its_limit_wherever_it_is_counted(
    steps: list[tuple[int, list[Hit], bool | None]],
) -> None:
    """One process, its store coming and going; who is refused was charged for nothing."""
    clock = ManualClock()
    shared = FaultyStore(MemoryStore(clock))
    store = FailoverStore(shared, stand_in=StandIn(clock), clock=clock, metrics=Metrics())
    taken: dict[tuple[str, Rate], list[tuple[int, int]]] = defaultdict(list)
    for pause, hits, away in steps:
        clock.advance(pause)
        if away is not None:
            shared.fault = Fault.FAILING if away else None
        answer = await store.hit(tuple(hits))
        for hit, count in zip(hits, answer.counts, strict=True):
            assert count is not None
            if not isinstance(hit.limit, Rate) or not count.counted:
                continue
            assert not answer.over
            assert not count.over
            taken[hit.subject, hit.limit].append((clock.now_ms(), hit.cost))
    for (_, limit), admissions in taken.items():
        for end, _ in admissions:
            inside = (cost for at, cost in admissions if end - WINDOW < at <= end)
            assert sum(inside) <= limit.limit


SOME = st.lists(HITS, min_size=1, max_size=3)
SHORT = st.one_of(st.integers(0, 300), st.sampled_from([0, 0, WINDOW - 900]))


@given(asked=SOME, steps=st.lists(st.tuples(SHORT, st.integers(0, 2)), min_size=20, max_size=60))
async def test_a_denial_told_from_memory_is_the_one_the_store_would_give(
    asked: list[list[Hit]], steps: list[tuple[int, int]]
) -> None:
    """The same questions, some of them told from memory: all pass or not as in a store alone."""
    clock = ManualClock()
    shared = FaultyStore(MemoryStore(clock))
    store = FailoverStore(shared, stand_in=StandIn(clock), clock=clock, metrics=Metrics())
    alone = MemoryStore(clock)
    for pause, which in steps:
        clock.advance(pause)
        hits = tuple(asked[which % len(asked)])
        calls = shared.calls
        told, true = await store.hit(hits), await alone.hit(hits)
        if shared.calls > calls:
            assert told == true
            continue
        assert true.over
        for said, is_so in zip(told.counts, true.counts, strict=True):
            assert said is not None
            assert is_so is not None
            assert is_so.over or not said.over
            if len(asked) == 1 and said.over:
                assert said == is_so


@given(steps=st.lists(st.tuples(PAUSES, HITS), max_size=40))
async def test_a_request_that_is_refused_leaves_sliding_windows_as_they_were(
    steps: list[tuple[int, list[Hit]]],
) -> None:
    """A store that is asked only what passed says the same of what follows."""
    clock = ManualClock()
    all_of_them, those_that_passed = MemoryStore(clock), MemoryStore(clock)
    for pause, hits in steps:
        clock.advance(pause)
        sliding = tuple(hit for hit in hits if not hit.is_fixed)
        if not sliding:
            continue
        answer = await all_of_them.hit(sliding)
        looked = await those_that_passed.hit(tuple(replace(hit, cost=0) for hit in sliding))
        if answer.over:
            before = [it.used_before for it in answer.counts if it]
            assert before == [it.used_before for it in looked.counts if it]
        else:
            assert await those_that_passed.hit(sliding) == answer
