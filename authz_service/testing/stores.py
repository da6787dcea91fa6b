"""A counter store that fails in the ways stores fail."""

import asyncio
from enum import Enum, auto

from authz_service.core.hits import Count, Counted, Fixed, Hit
from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Limit
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore, PartsFailedError


class Fault(Enum):
    """How a store fails."""

    FAILING = auto()  # an error at once, nothing counted
    SLOW = auto()  # no answer before the caller gives up or the fault is lifted
    LYING = auto()  # everything admitted and untouched, nothing counted


class FaultyStore:
    """A store that works like the one inside it until `fault` is set.

    `calls` counts the calls that reached it, `asked` is set by the first one. `parts` names the
    part of the store that counts a subject; with `failing_part` the fault is of that part alone.
    """

    def __init__(self, inner: CounterStore, *, fault: Fault | None = None) -> None:
        self._inner = inner
        self._healthy = asyncio.Event()
        self._fault = fault
        self.calls = 0
        self.asked = asyncio.Event()
        self.parts: dict[str, str] = {}
        self.failing_part: str | None = None
        self.gives_back = inner.gives_back
        self.fault = fault

    @property
    def fault(self) -> Fault | None:
        """The fault in force. Setting None lets slow calls go on."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault
        if fault is None:
            self._healthy.set()
        else:
            self._healthy.clear()

    async def connect(self) -> None:
        """Connect the inner store, unless a fault is in force."""
        await self._suffer("")
        await self._inner.connect()

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """Charge the inner store, unless a fault is in force."""
        await self._suffer(subject)
        if self._fault is Fault.LYING:
            return _untouched(charges)
        return await self._inner.charge(subject, charges, once=once)

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count in the inner store, unless a fault is in force in a part that is asked."""
        subjects = {hit.subject for hit in hits}
        struck = {subject for subject in subjects if self._strikes(subject)}
        if struck and struck != subjects and self._fault is Fault.FAILING:
            self.calls += 1
            error = StoreError("this part fails on purpose")
            raise PartsFailedError(dict.fromkeys(struck, error))
        await self._suffer(min(struck or subjects))
        if self._fault is Fault.LYING:
            return Counted(over=False, counts=tuple(map(_untouched_count, hits)))
        return await self._inner.hit(hits, once=once)

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """Look at the inner store, unless a fault is in force."""
        await self._suffer(subject)
        if self._fault is Fault.LYING:
            return _untouched(charges)
        return await self._inner.peek(subject, charges)

    async def reset(self, subject: str, limits: tuple[Limit | Fixed, ...]) -> None:
        """Reset the inner store, unless a fault is in force."""
        await self._suffer(subject)
        if self._fault is not Fault.LYING:
            await self._inner.reset(subject, limits)

    def part_of(self, subject: str) -> str:
        """The part that `parts` names, or the one of the inner store."""
        return self.parts.get(subject) or self._inner.part_of(subject)

    async def close(self) -> None:
        """Close the inner store."""
        await self._inner.close()

    def _strikes(self, subject: str) -> bool:
        return self.failing_part is None or self.part_of(subject) == self.failing_part

    async def _suffer(self, subject: str) -> None:
        self.calls += 1
        self.asked.set()
        if not self._strikes(subject):
            return
        if self._fault is Fault.FAILING:
            raise StoreError("this store fails on purpose")
        if self._fault is Fault.SLOW:
            await self._healthy.wait()


def _untouched(charges: tuple[Charge, ...]) -> Metered:
    readings = tuple(Reading(charge, charge.limit.limit, 0, 0) for charge in charges)
    return Metered(admitted=True, readings=readings)


def _untouched_count(hit: Hit) -> Count:
    return Count(
        over=False,
        remaining=hit.limit.limit,
        reset_ms=0,
        retry_after_ms=0,
        used_before=0,
        counted=True,
    )
