"""How much is admitted in any window while the shared store comes and goes, for every process.

Several fail-over stores over one shared store, each with counters of its own for the time that the
shared one is away; the store is away for all of them or for one alone, for as long as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.rules import Charge, Rate
from authz_service.observe.metrics import Metrics
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import ALONE, StandIn
from authz_service.testing.clock import ManualClock
from authz_service.testing.stores import Fault, FaultyStore

WINDOW = 4_000
PAUSES = st.one_of(st.integers(0, 1_500), st.sampled_from([0, 0, 0, WINDOW - 1, WINDOW]))


@dataclass(frozen=True)
class Ask:
    """A process is asked `times` times, after a pause."""

    process: int
    times: int
    pause_ms: int


@dataclass(frozen=True)
class Turn:
    """The store goes away from a process, or comes back to it; from all of them if None."""

    process: int | None
    away: bool


def events(processes: int) -> st.SearchStrategy[list[Ask | Turn]]:
    """Anything that can happen to so many processes."""
    which = st.integers(0, processes - 1)
    asks = st.builds(Ask, which, st.integers(1, 6), PAUSES)
    turns = st.builds(Turn, st.none() | which, st.booleans())
    return st.lists(asks | asks | turns, max_size=40)


async def worst_window(
    happened: Sequence[Ask | Turn], *, processes: int, limit: int, sharing: int = ALONE
) -> int:
    """The most that was admitted within any window, by all processes together."""
    clock = ManualClock()
    counters = MemoryStore(clock)
    shared = [FaultyStore(counters) for _ in range(processes)]
    stores = [
        FailoverStore(
            view, stand_in=StandIn(clock, sharing=sharing), clock=clock, metrics=Metrics()
        )
        for view in shared
    ]
    charges = (Charge(Rate(name="r", limit=limit, window_ms=WINDOW), 1),)
    admitted: list[int] = []
    for event in happened:
        if isinstance(event, Turn):
            for view in shared if event.process is None else [shared[event.process]]:
                view.fault = Fault.FAILING if event.away else None
            continue
        clock.advance(event.pause_ms)
        for _ in range(event.times):
            metered = await stores[event.process].charge("key:a", charges)
            admitted += [clock.now_ms()] * metered.admitted
    return max(
        (sum(end - WINDOW < moment <= end for moment in admitted) for end in admitted), default=0
    )


@given(happened=events(1), limit=st.integers(1, 7))
async def test_one_process_never_exceeds_a_limit_whatever_becomes_of_the_store(
    happened: list[Ask | Turn], limit: int
) -> None:
    """Also in windows over the beginning and the end of an outage: nothing is given out twice."""
    assert await worst_window(happened, processes=1, limit=limit) <= limit


@given(happened=events(3), limit=st.integers(1, 5))
async def test_several_processes_exceed_a_limit_by_no_more_than_their_number(
    happened: list[Ask | Turn], limit: int
) -> None:
    """Three processes that do not know of each other admit three times the limit at the most."""
    assert await worst_window(happened, processes=3, limit=limit) <= 3 * limit


@given(happened=events(3), limit=st.integers(3, 9))
async def test_processes_that_divide_a_limit_stay_below_twice_the_limit(
    happened: list[Ask | Turn], limit: int
) -> None:
    """Each of three has a third of it; the rest is what the store gave out before it went."""
    worst = await worst_window(happened, processes=3, limit=limit, sharing=3)
    assert worst < 2 * limit
