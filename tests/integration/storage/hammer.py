"""One of several processes that ask a store as fast as they can, as a program of its own.

`python -m tests.integration.storage.hammer URL LOAD ENDS_AT` prints every admission, as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from itertools import cycle
from typing import Final

from authz_service.clock import SystemClock, stopwatch
from authz_service.core.rules import Charge, Limit, Period, Quota, Rate
from authz_service.storage.base import CounterStore
from tests.conformance.storage.admissions import Admission
from tests.conformance.storage.bench import redis_store

SUBJECT: Final = "key:hammered"
CALLERS: Final = 4
_PAUSE_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Load:
    """What every request takes: one of these costs, in turn, from `limits`, and 1 from `counted`.

    `counted` is a limit on the number of requests, whatever they cost.
    """

    limits: tuple[Limit, ...]
    costs: tuple[int, ...] = (1,)
    counted: Rate | None = None

    def charges(self, cost: int) -> tuple[Charge, ...]:
        """The charges of a request of this cost."""
        by_cost = tuple(Charge(limit, cost) for limit in self.limits)
        return by_cost if self.counted is None else (*by_cost, Charge(self.counted, 1))


PLAIN: Final = Rate(name="plain", limit=200, window_ms=2_000)
BY_COST: Final = Rate(name="by-cost", limit=60, window_ms=1_000)
BY_REQUEST: Final = Rate(name="by-request", limit=40, window_ms=2_000)
QUOTA: Final = Quota(name="all", limit=150, period=Period.MONTH, zone="UTC")
LOADS: Final[Mapping[str, Load]] = {
    "plain": Load((PLAIN,)),
    "mixed": Load((BY_COST, QUOTA), (1, 2, 3), BY_REQUEST),
}


async def hammer(url: str, load: Load, ends_s: float) -> list[Admission]:
    """Ask until `ends_s` of the stopwatch, which all processes of a machine share."""
    store = redis_store(url, clock=SystemClock())
    admissions: list[Admission] = []
    costs = cycle(load.costs)
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(_ask_again_and_again(store, load, costs, ends_s, admissions))
    await store.close()
    return admissions


async def _ask_again_and_again(
    store: CounterStore,
    load: Load,
    costs: Iterator[int],
    ends_s: float,
    admissions: list[Admission],
) -> None:
    while (sent_s := stopwatch()) < ends_s:
        cost = next(costs)
        answer = await store.charge(SUBJECT, load.charges(cost))
        if answer.admitted:
            admissions.append(Admission(sent_s, stopwatch(), cost))
        else:
            await asyncio.sleep(_PAUSE_S)  # the others want to ask as well


if __name__ == "__main__":
    _, url, load, ends_s = sys.argv
    made = asyncio.run(hammer(url, LOADS[load], float(ends_s)))
    sys.stdout.write(json.dumps([astuple(admission) for admission in made]))
