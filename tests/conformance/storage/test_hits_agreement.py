"""The script for hits and the Python arithmetic are one, on one server and over slots."""

import itertools
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.core.hits import MAX_COUNT, Fixed, Hit, Says
from authz_service.core.meter import KEPT_MS
from authz_service.core.rules import Rate
from authz_service.storage.memory import MemoryStore
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.hits import fixed
from tests.conformance.storage.limits import DAY, HOUR, SECOND, rate

LIMITS: list[Rate | Fixed] = [
    rate(0, SECOND, "none"),
    rate(3, SECOND, "burst"),
    rate(2, SECOND, "burst"),  # another limit on the same counter
    rate(9, 30 * DAY, "month"),
    rate(5, 365 * DAY, "year"),
    rate(1_001, SECOND, "many"),
    rate(4_294_967_295, 365 * DAY, "most"),
    fixed(0, SECOND, "none"),
    fixed(3, SECOND, "burst"),
    fixed(2, SECOND, "burst"),
    fixed(9, HOUR, "hour"),
    fixed(4_294_967_295, 365 * DAY, "most"),
]
PAUSES = st.one_of(
    st.sampled_from([0, 1, 999, 1000, 1001, 5000, HOUR, DAY, 31 * DAY, -1, -5000, -59_000]),
    st.integers(0, 2 * SECOND),
)
COSTS = st.one_of(st.integers(0, 4), st.sampled_from([500, 2**31, MAX_COUNT, 2**64 - 1]))
HITS = st.lists(
    st.builds(
        Hit,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(LIMITS),
        COSTS,
        st.sampled_from(Says),
        held=st.one_of(st.just(0), st.just(0), st.integers(0, 5)),
    ),
    min_size=1,
    max_size=6,
)
IDS = st.sampled_from([None, None, "1", "2"])
STEPS = st.lists(st.tuples(PAUSES, HITS, IDS), min_size=1, max_size=40)
runs = itertools.count()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
async def test_every_store_says_what_the_arithmetic_says(
    bench: Bench, steps: list[tuple[int, list[Hit], str | None]]
) -> None:
    """Every field is equal, also over slots: modes, fixed windows, looks, bans, repeats, ids."""
    memory = MemoryStore(bench.clock)
    latest_ms = bench.clock.now_ms()
    run = next(runs)
    for pause, asked, name in steps:
        if pause >= 0:
            bench.clock.advance(pause)
            latest_ms = max(latest_ms, bench.clock.now_ms())
        elif bench.clock.now_ms() + pause >= latest_ms - KEPT_MS:
            bench.clock.step_back(-pause)
        hits = tuple(replace(it, subject=f"{run}:{it.subject}") for it in asked)
        store = bench.stores[0]
        in_slots = store.gives_back and len({hit.subject for hit in hits}) > 1
        once = None if in_slots else name
        assert await store.hit(hits, once=once) == await memory.hit(hits, once=once), hits
