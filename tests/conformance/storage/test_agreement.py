"""The script and the Python arithmetic are one: the same questions get the same answers."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.core.meter import KEPT_MS
from authz_service.core.rules import Charge, Limit, Period
from authz_service.storage.memory import MemoryStore
from tests.conformance.storage.bench import ServerBench, opened
from tests.conformance.storage.limits import DAY, HOUR, SECOND, quota, rate, told
from tests.conformance.storage.server import Server

LIMITS: list[Limit] = [
    rate(3, SECOND, "burst"),
    rate(7, 31 * DAY, "long"),
    rate(40, 5 * SECOND, "busy"),
    rate(1_001, SECOND, "many"),
    rate(7_007, 5 * SECOND, "more"),
    rate(1_000_000_000, 31 * DAY, "most"),
    quota(11, Period.DAY, "Europe/Berlin", "day"),
    quota(25, Period.WEEK, "America/New_York", "week"),
    quota(60, Period.MONTH, "Asia/Kolkata", "month"),
]
PAUSES = st.one_of(
    st.sampled_from([0, 1, 999, 1000, 1001, 5000, HOUR, DAY, 31 * DAY, -1, -5000, -59_000]),
    st.integers(0, 2 * SECOND),
)
HELD = st.one_of(st.just(0), st.integers(0, 12))


def charge_of(limit: Limit, cost: int, held: int) -> Charge:
    """Make a charge that fills a limit with few others: a cost of 1 is 1/7 of a limit of many."""
    each = 1 if limit.limit <= 1_000 else limit.limit // 7
    return Charge(limit, cost * each, held=held * each)


CHARGES = st.lists(
    st.builds(charge_of, st.sampled_from(LIMITS), st.integers(1, 3), HELD),
    min_size=1,
    max_size=4,
    unique_by=lambda charge: charge.limit.name,
)
NUMBERS = st.one_of(st.none(), st.integers(0, 2))
subjects = itertools.count()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(PAUSES, CHARGES, NUMBERS), min_size=1, max_size=60))
async def test_memory_and_server_agree_on_every_figure(
    server: Server, steps: list[tuple[int, list[Charge], int | None]]
) -> None:
    """Admitted, remaining, reset and retry are equal, whatever is asked and however time moves."""
    async with opened(lambda: ServerBench.over(server)) as bench:
        memory = MemoryStore(bench.clock)
        latest_ms = bench.clock.now_ms()
        subject = f"key:{next(subjects)}"
        steps_back = 0  # answers are not kept for a clock that steps back: ids are new after one
        for pause, asked, number in steps:
            if pause >= 0:
                bench.clock.advance(pause)
                latest_ms = max(latest_ms, bench.clock.now_ms())
            elif bench.clock.now_ms() + pause >= latest_ms - KEPT_MS:
                bench.clock.step_back(-pause)
                steps_back += 1
            once = None if number is None else f"{steps_back}-{number}"
            here = await memory.charge(subject, tuple(asked), once=once)
            there = await bench.stores[0].charge(subject, tuple(asked), once=once)
            assert told(here) == told(there)
