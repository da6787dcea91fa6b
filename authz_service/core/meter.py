"""Stage 3, how much is left: the arithmetic of limits, one definition for every store.

A rate keeps a log of admissions, a large one buckets of them (`buckets.py`), a quota a tally. All
are values: reading never changes them, taking returns the next one. The script of the Redis store
says the same in Lua, and a test holds the two together.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Generic, TypeVar

from authz_service.core.rules import Charge, Quota, Rate

Log = Sequence[int]
"""The admissions of one rate, oldest first. An entry is the millisecond of one admission."""


KEPT_MS: Final = 60_000
"""How much longer a counter is kept than it counts: a clock set back by less frees nothing."""

LEAST_WAIT_MS: Final = 1
"""What is waited for a counter that is empty and yet cannot admit: a place is held elsewhere."""

REMEMBERED_MS: Final = 2_000
"""How long the answer to an admission stands in for another charge under the same id."""


class Scope(StrEnum):
    """Where a charge was counted."""

    SHARED = "shared"  # in the store that every process shares
    LOCAL = "local"  # in this process alone, because that store did not answer
    UNCOUNTED = "uncounted"  # nowhere: let through because that store did not answer


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit as a request found it, after the charge if the request was admitted.

    `remaining` is what is left of the limit, less what is held elsewhere. `reset_ms` is the time
    until the oldest counted admission leaves the window (a quota: until its period ends), 0 when
    nothing is counted. `retry_after_ms` is how long the same charge must wait for this limit to
    admit it, 0 when it would admit now. What is held elsewhere is taken to stay held; where that
    leaves no room even in an empty counter, the wait of a rate is until its counter is empty,
    `LEAST_WAIT_MS` if it is, and that of a quota until its period ends.
    """

    charge: Charge
    remaining: int
    reset_ms: int
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Metered:
    """The answer for all limits of one request together. Without a count there are no readings."""

    admitted: bool
    readings: tuple[Reading, ...]
    scope: Scope = Scope.SHARED


def told_later(metered: Metered, elapsed_ms: int) -> Metered:
    """Return an answer as it is told again, with the time passed since."""
    readings = tuple(
        replace(
            reading,
            reset_ms=max(0, reading.reset_ms - elapsed_ms),
            retry_after_ms=max(0, reading.retry_after_ms - elapsed_ms),
        )
        for reading in metered.readings
    )
    return replace(metered, readings=readings)


@dataclass(frozen=True, slots=True)
class Tally:
    """The count of one quota. `since_ms` is the latest period start it has been counted under."""

    since_ms: int
    count: int


Counter = TypeVar("Counter")


@dataclass(frozen=True, slots=True)
class Taken(Generic[Counter]):
    """A charge taken: what to tell, what to keep and until when."""

    reading: Reading
    counter: Counter
    expires_ms: int


def read_rate(charge: Charge, rate: Rate, log: Log, now_ms: int) -> Reading:
    """Look at a sliding window without charging it.

    An admission at t counts in the window (now - window, now]: at t + window its place is free.
    """
    live = log[_dead(log, rate, _log_time(log, now_ms)) :]
    room = rate.limit - charge.held - len(live)
    return Reading(
        charge=charge,
        remaining=max(0, room),
        reset_ms=leaves_ms(live[0], rate, now_ms) if live else 0,
        retry_after_ms=_wait_ms(live, rate, charge.cost - room, now_ms),
    )


def rate_used(rate: Rate, log: Log, now_ms: int) -> int:
    """Return how many admissions are in the window."""
    return len(log) - _dead(log, rate, _log_time(log, now_ms))


def take_rate(charge: Charge, rate: Rate, log: Log, now_ms: int) -> Taken[Log]:
    """Charge a sliding window that `read_rate` found to have room."""
    moment = _log_time(log, now_ms)
    kept = (*log[_dead(log, rate, moment) :], *(moment,) * charge.cost)
    reading = Reading(
        charge=charge,
        remaining=rate.limit - charge.held - len(kept),
        reset_ms=leaves_ms(kept[0], rate, now_ms),
        retry_after_ms=0,
    )
    return Taken(reading=reading, counter=kept, expires_ms=moment + rate.window_ms + KEPT_MS)


def leaves_ms(admission_ms: int, rate: Rate, now_ms: int) -> int:
    """Return how long the clock of the store takes until an admission leaves the window."""
    return admission_ms + rate.window_ms - now_ms


def tally_time(tally: Tally | None, now_ms: int) -> int:
    """Return the moment whose calendar period counts.

    A clock that steps back over the end of a period does not bring the old period back: the later
    one stays in force, so no admission is forgotten and none is counted twice.
    """
    return now_ms if tally is None else max(now_ms, tally.since_ms)


def read_quota(
    charge: Charge, quota: Quota, tally: Tally | None, period: tuple[int, int], now_ms: int
) -> Reading:
    """Look at a quota without charging it. `period` is (start, end) around `tally_time`."""
    start_ms, end_ms = period
    used = _counted(tally, start_ms)
    room = quota.limit - charge.held - used
    return Reading(
        charge=charge,
        remaining=max(0, room),
        reset_ms=end_ms - now_ms if used else 0,
        retry_after_ms=end_ms - now_ms if charge.cost > room else 0,
    )


def take_quota(
    charge: Charge, quota: Quota, tally: Tally | None, period: tuple[int, int], now_ms: int
) -> Taken[Tally]:
    """Charge a quota that `read_quota` found to have room."""
    start_ms, end_ms = period
    count = _counted(tally, start_ms) + charge.cost
    since_ms = start_ms if tally is None else max(start_ms, tally.since_ms)
    reading = Reading(
        charge=charge,
        remaining=quota.limit - charge.held - count,
        reset_ms=end_ms - now_ms,
        retry_after_ms=0,
    )
    return Taken(reading=reading, counter=Tally(since_ms, count), expires_ms=end_ms + KEPT_MS)


def _log_time(log: Log, now_ms: int) -> int:
    """Return the time of this log, which a clock stepping back does not move back."""
    return max(now_ms, log[-1]) if log else now_ms


def _dead(log: Log, rate: Rate, moment_ms: int) -> int:
    """Return how many of the oldest admissions have left the window."""
    return bisect_right(log, moment_ms - rate.window_ms)


def _wait_ms(live: Log, rate: Rate, lacking: int, now_ms: int) -> int:
    """Return how long it takes until so many more places are free, as far as they are here."""
    if lacking <= 0:
        return 0
    if not live:
        return LEAST_WAIT_MS
    return leaves_ms(live[min(lacking, len(live)) - 1], rate, now_ms)


def _counted(tally: Tally | None, start_ms: int) -> int:
    """Return what a tally still counts in the period that began at `start_ms`."""
    return tally.count if tally is not None and tally.since_ms >= start_ms else 0
