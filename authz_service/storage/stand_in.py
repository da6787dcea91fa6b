"""Counting in this process while the shared store is away, and handing back when it returns."""

from dataclasses import replace
from typing import Final

from authz_service.clock import Clock
from authz_service.core.meter import Metered, Reading, Scope
from authz_service.core.rules import Charge, Limit, Rate
from authz_service.storage.hit_stand_in import HitStandIn
from authz_service.storage.last_readings import LastReadings, Taken
from authz_service.storage.memory import MemoryStore
from authz_service.storage.shares import share, taken_share
from authz_service.storage.under_way import UnderWay

ALONE: Final = 1
"""The part of a process that shares its limits with no other, or does not know with how many."""


class StandIn:
    """This process's own counters, and what it knows of the shared ones.

    Away, the shared store is taken to hold what it last said it held, and what it is being asked to
    take (`under_way`); back, it is told to leave free what was counted here in the meantime. So
    what this process admits never exceeds a limit, neither while the store is away nor in a window
    that reaches over the beginning or the end.

    `sharing` is how many processes share the limits. Each then admits its part of them while the
    store is away: the limit divided by their number, but one at least. `hits` counts requests with
    several subjects, in a memory of their own.
    """

    def __init__(
        self, clock: Clock, *, sharing: int = ALONE, counters: MemoryStore | None = None
    ) -> None:
        self._clock = clock
        self._sharing = sharing
        self._counters = counters or MemoryStore(clock)
        self._last = LastReadings()
        # Of their own: what descriptors are counted by comes from requests, and whoever can invent
        # values could use up the counters of callers.
        self._hit_counters = MemoryStore(clock)
        self.hits = HitStandIn(clock, sharing=sharing, counters=self._hit_counters)
        self.under_way = UnderWay()

    def heard(self, subject: str, metered: Metered) -> None:
        """The shared store has said this of a subject."""
        self._last.note(subject, metered.readings, self._clock.monotonic_ms())

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None
    ) -> Metered:
        """Take every charge from this process's part of its limit, or none of them.

        Raises:
            StoreError: no room for another counter.
        """
        now_ms = self._clock.monotonic_ms()
        taken = [self._taken(subject, charge.limit, now_ms) for charge in charges]
        parts = tuple(map(self._part, charges, taken))
        metered = await self._counters.charge(subject, parts, once=once)
        readings = [
            await self._told(subject, reading, charge, there)
            for reading, charge, there in zip(metered.readings, charges, taken, strict=True)
        ]
        return Metered(metered.admitted, tuple(readings), Scope.LOCAL)

    async def held(self, subject: str, charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
        """The charges for the shared store, which is to leave free what was counted here."""
        if self._counters.is_empty:
            return charges
        self._counters.sweep()
        held = [_counted(reading) for reading in await self._found(subject, charges)]
        if not any(held):
            return charges
        return tuple(replace(charge, held=n) for charge, n in zip(charges, held, strict=True))

    async def denied(self, subject: str, metered: Metered) -> Metered:
        """What the shared store denied, its waits long enough for what is held for it here."""
        charges = tuple(reading.charge for reading in metered.readings)
        found = await self._found(subject, charges)
        return replace(metered, readings=tuple(map(_with_wait_here, metered.readings, found)))

    async def close(self) -> None:
        """Forget everything that was counted here."""
        await self._counters.close()
        await self._hit_counters.close()

    def _taken(self, subject: str, limit: Limit, now_ms: int) -> Taken:
        """What the shared store holds of a limit, what it may be taking at this moment included."""
        last = self._last.taken(subject, limit, now_ms)
        places = self.under_way.places(subject, limit)
        if not places:
            return last
        left_ms = limit.window_ms if isinstance(limit, Rate) else last.left_ms
        return Taken(min(last.places + places, limit.limit), left_ms)

    async def _found(self, subject: str, charges: tuple[Charge, ...]) -> tuple[Reading, ...]:
        parts = tuple(self._part(charge, Taken(0, 0)) for charge in charges)
        return (await self._counters.peek(subject, parts)).readings

    def _part(self, charge: Charge, taken: Taken) -> Charge:
        """What a charge is here: of a part of the limit, of which as large a part is taken."""
        whole = charge.limit.limit
        places = share(whole, self._sharing)
        limit = charge.limit if places == whole else replace(charge.limit, limit=places)
        held = taken_share(taken.places, whole, places)
        return replace(charge, limit=limit, cost=min(charge.cost, places), held=held)

    async def _told(self, subject: str, reading: Reading, charge: Charge, taken: Taken) -> Reading:
        """A reading of this process's part as one of the limit."""
        wait_ms, part = reading.retry_after_ms, reading.charge
        # All that a quota counts comes free at once, wherever it is counted.
        if wait_ms and part.held and isinstance(part.limit, Rate):
            [alone] = (await self._counters.peek(subject, (replace(part, held=0),))).readings
            later_ms = max(taken.left_ms, alone.retry_after_ms)
            fits = part.held + part.cost <= part.limit.limit
            wait_ms = min(wait_ms, later_ms) if fits else later_ms
        reset_ms = reading.reset_ms or (taken.left_ms if part.held else 0)
        return Reading(charge, reading.remaining, reset_ms, wait_ms)


def _counted(reading: Reading) -> int:
    """How many places a counter has given out."""
    return reading.charge.limit.limit - reading.remaining


def _with_wait_here(there: Reading, here: Reading) -> Reading:
    """A reading of the shared store for which places are held that come free here.

    Where those held and the cost exceed the limit, the shared counter being empty is not enough:
    the wait is over when both have room. It may then be longer than needed, never shorter.
    """
    charge = there.charge
    reset_ms = there.reset_ms or here.reset_ms
    wait_ms = there.retry_after_ms
    if wait_ms and charge.held + charge.cost > charge.limit.limit:
        wait_ms = max(wait_ms, here.retry_after_ms or here.reset_ms)
    return replace(there, reset_ms=reset_ms, retry_after_ms=wait_ms)
