"""A rate of more than `EXACT_ADMISSIONS` a window: the arithmetic of `meter.py` over buckets.

A log costs memory for each admission. Here those of one sixtieth of the window are one bucket,
which counts whole until its last admission leaves the window. So no window ever holds more than
the limit, and a place is free again at most a sixtieth of the window late.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from authz_service.core.meter import KEPT_MS, LEAST_WAIT_MS, Reading, Taken, leaves_ms
from authz_service.core.rules import Charge, Rate

_BUCKETS: Final = 60  # of one window; one more can be live, for a window begins within a bucket


@dataclass(frozen=True, slots=True)
class Buckets:
    """The admissions of one rate, oldest first: the last moment of each bucket and its count."""

    lasts_ms: Sequence[int] = ()
    counts: Sequence[int] = ()


def bucket_width_ms(rate: Rate) -> int:
    """Return how long a bucket takes admissions. The first one began with the epoch."""
    return -(-rate.window_ms // _BUCKETS)


def read_buckets(charge: Charge, rate: Rate, buckets: Buckets, now_ms: int) -> Reading:
    """Look at a sliding window without charging it."""
    live = _live(buckets, rate, _time(buckets, now_ms))
    room = rate.limit - charge.held - sum(live.counts)
    return Reading(
        charge=charge,
        remaining=max(0, room),
        reset_ms=leaves_ms(live.lasts_ms[0], rate, now_ms) if live.counts else 0,
        retry_after_ms=_wait_ms(live, rate, charge.cost - room, now_ms),
    )


def buckets_used(rate: Rate, buckets: Buckets, now_ms: int) -> int:
    """Return how many admissions are in the window."""
    return sum(_live(buckets, rate, _time(buckets, now_ms)).counts)


def take_buckets(charge: Charge, rate: Rate, buckets: Buckets, now_ms: int) -> Taken[Buckets]:
    """Charge a sliding window that `read_buckets` found to have room."""
    moment = _time(buckets, now_ms)
    kept = _joined(_live(buckets, rate, moment), bucket_width_ms(rate), moment, charge.cost)
    reading = Reading(
        charge=charge,
        remaining=rate.limit - charge.held - sum(kept.counts),
        reset_ms=leaves_ms(kept.lasts_ms[0], rate, now_ms),
        retry_after_ms=0,
    )
    return Taken(reading=reading, counter=kept, expires_ms=moment + rate.window_ms + KEPT_MS)


def _time(buckets: Buckets, now_ms: int) -> int:
    """Return the time of this counter, which a clock stepping back does not move back."""
    return max(now_ms, buckets.lasts_ms[-1]) if buckets.lasts_ms else now_ms


def _live(buckets: Buckets, rate: Rate, moment_ms: int) -> Buckets:
    """Return the buckets whose last admission has not left the window."""
    dead = bisect_right(buckets.lasts_ms, moment_ms - rate.window_ms)
    return Buckets(buckets.lasts_ms[dead:], buckets.counts[dead:])


def _joined(live: Buckets, width_ms: int, moment_ms: int, cost: int) -> Buckets:
    """Return the buckets with one more admission, in the newest one or in a new one."""
    lasts, counts = live.lasts_ms, live.counts
    if lasts and lasts[-1] // width_ms == moment_ms // width_ms:
        return Buckets((*lasts[:-1], moment_ms), (*counts[:-1], counts[-1] + cost))
    return Buckets((*lasts, moment_ms), (*counts, cost))


def _wait_ms(live: Buckets, rate: Rate, lacking: int, now_ms: int) -> int:
    """Return how long it takes until so many more places are free, as far as they are here."""
    if lacking <= 0:
        return 0
    if not live.counts:
        return LEAST_WAIT_MS
    freed = zip(accumulate(live.counts), live.lasts_ms, strict=True)
    last_ms = next((last for count, last in freed if count >= lacking), live.lasts_ms[-1])
    return leaves_ms(last_ms, rate, now_ms)
