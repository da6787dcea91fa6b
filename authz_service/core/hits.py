"""Several counters of one request, each of a subject of its own: what `ShouldRateLimit` counts.

The arithmetic of sliding windows is that of `meter.py` and `buckets.py`; that of fixed windows
stands here. The script `hit.lua` says the same, and a test holds the two together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from authz_service.core.meter import (
    KEPT_MS,
    LEAST_WAIT_MS,
    Reading,
    Scope,
    Tally,
    tally_time,
)
from authz_service.core.rules import Rate, StoreFailure

MAX_COUNT: Final = (1 << 53) - 1
"""Where a fixed window stops counting: the largest number that a script holds exactly."""


class Says(StrEnum):
    """What a hit that is over its limit means for the request."""

    REFUSES = "refuses"
    QUOTA = "quota"  # refuses only if all hits in this mode are over
    SHADOW = "shadow"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """At most `limit` hits in each window of `window_ms`, the first of which began with the epoch.

    Hits over the limit are counted as well. Twice the limit may pass around the end of a window.
    """

    name: str
    limit: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Hit:
    """What one request takes from one counter.

    `cost` 0 looks and takes nothing: it is over where more than the limit is counted. A limit of 0
    admits nothing. Hits of one request at one counter have windows of one length. `held` and
    `on_store_failure` mean what they do in a `Charge`.
    """

    subject: str
    limit: Rate | Fixed
    cost: int = 1
    says: Says = Says.REFUSES
    on_store_failure: StoreFailure = StoreFailure.LOCAL
    held: int = 0

    @property
    def is_fixed(self) -> bool:
        """Whether it is counted even if the request is refused."""
        return isinstance(self.limit, Fixed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One counter after a hit; of a sliding window, as found if nothing was taken from it.

    `counted` says whether the hit was. `used_before` is what the counter held before it.
    `reset_ms` is the time until the oldest admission leaves a sliding window, 0 if it is empty, or
    until a fixed one ends. `retry_after_ms` is how long the same hit must wait until it is not
    over, taking what is held elsewhere to stay held; 0 if it is not over, or can never pass.
    """

    over: bool
    remaining: int
    reset_ms: int
    retry_after_ms: int
    used_before: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer for all hits of one request, in their order. None is a hit that nobody counted."""

    over: bool
    counts: tuple[Count | None, ...]
    scope: Scope = Scope.SHARED


def is_over(hits: Iterable[Hit], counts: Iterable[Count]) -> bool:
    """Say whether a request is refused: by any hit, but by those in quota mode only by all."""
    over = [(hit.says, count.over) for hit, count in zip(hits, counts, strict=True)]
    quotas = [is_over for says, is_over in over if says is Says.QUOTA]
    refused = any(is_over for says, is_over in over if says is Says.REFUSES)
    return refused or (bool(quotas) and all(quotas))


def come_free_ms(counted: Counted) -> list[int]:
    """How long each limit that is over keeps all its places. One that holds none is not among them.

    Until the first of them is over, asking the same again changes nothing of what is over.
    """
    return [it.reset_ms for it in counted.counts if it and it.over and it.reset_ms]


def counted_later(counted: Counted, elapsed_ms: int) -> Counted:
    """Return an answer as it is told again, with the time passed since.

    What it said is over is told as such, and so with a wait, though it may have come free.
    """
    counts = (_later(it, elapsed_ms) if it else None for it in counted.counts)
    return replace(counted, counts=tuple(counts))


def takes(hit: Hit, *, over: bool, passes: bool) -> bool:
    """Say whether a hit is counted, in a request that passes or does not."""
    return hit.cost > 0 and (hit.is_fixed or (passes and not over))


def any_sliding(hits: Iterable[Hit]) -> bool:
    """Say whether any hit is counted only if the request passes."""
    return any(hit.cost > 0 and not hit.is_fixed for hit in hits)


def wait_ms(hit: Hit, retry_after_ms: int) -> int:
    """Return what a hit is told to wait that would have to wait so long if it could ever pass."""
    return retry_after_ms if hit.cost <= hit.limit.limit else 0


def sliding_count(hit: Hit, reading: Reading, used_before: int, *, counted: bool) -> Count:
    """Tell a reading of a sliding window as the count of a hit."""
    return Count(
        over=reading.retry_after_ms > 0,
        remaining=reading.remaining,
        reset_ms=reading.reset_ms,
        retry_after_ms=wait_ms(hit, reading.retry_after_ms),
        used_before=used_before,
        counted=counted,
    )


def read_fixed(
    hit: Hit, limit: Fixed, tally: Tally | None, now_ms: int, *, pending: int = 0
) -> Count:
    """Look at a fixed window in which so many more than are there will be counted before."""
    start_ms = _start(limit, tally, now_ms)
    used = _used(tally, start_ms)
    after = min(used + pending + hit.cost, MAX_COUNT)
    room = limit.limit - hit.held - after
    reset_ms = start_ms + limit.window_ms - now_ms
    return Count(
        over=room < 0,
        remaining=max(0, room),
        reset_ms=reset_ms,
        retry_after_ms=wait_ms(hit, reset_ms) if room < 0 else 0,
        used_before=used,
        counted=False,
    )


def take_fixed(hit: Hit, limit: Fixed, tally: Tally | None, now_ms: int) -> tuple[Tally, int]:
    """Count a hit whether or not there is room. Return what to keep, and until when."""
    start_ms = _start(limit, tally, now_ms)
    since_ms = start_ms if tally is None else max(start_ms, tally.since_ms)
    count = min(_used(tally, start_ms) + hit.cost, MAX_COUNT)
    return Tally(since_ms, count), start_ms + limit.window_ms + KEPT_MS


def _later(count: Count, elapsed_ms: int) -> Count:
    retry_ms = count.retry_after_ms
    return replace(
        count,
        reset_ms=max(0, count.reset_ms - elapsed_ms),
        retry_after_ms=max(LEAST_WAIT_MS, retry_ms - elapsed_ms) if retry_ms else 0,
    )


def _start(limit: Fixed, tally: Tally | None, now_ms: int) -> int:
    moment = tally_time(tally, now_ms)
    return moment - moment % limit.window_ms


def _used(tally: Tally | None, start_ms: int) -> int:
    return tally.count if tally is not None and tally.since_ms >= start_ms else 0
