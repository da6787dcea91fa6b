"""Counters in this process: for one process alone, and for the time the shared store is away."""

from array import array
from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Final

from authz_service.clock import Clock
from authz_service.core.buckets import Buckets, buckets_used, read_buckets, take_buckets
from authz_service.core.calendar import Calendars
from authz_service.core.counter_key import answer_key, counter_key, counter_keys, hits_answer_key
from authz_service.core.hits import (
    Count,
    Counted,
    Fixed,
    Hit,
    counted_later,
    is_over,
    read_fixed,
    sliding_count,
    take_fixed,
    takes,
)
from authz_service.core.meter import (
    Metered,
    Reading,
    Tally,
    rate_used,
    read_quota,
    read_rate,
    take_quota,
    take_rate,
    tally_time,
    told_later,
)
from authz_service.core.rules import Charge, Limit, Quota, Rate
from authz_service.errors import StoreError
from authz_service.storage.answers import RecentAnswers
from authz_service.storage.base import InconclusiveError

MAX_COUNTERS: Final = 200_000
"""How many counters one process keeps unless told otherwise. See `docs/limits.md` for the bytes."""

_NO_BUCKETS: Final = Buckets()
_SWEEP_STEPS: Final = 4  # more than one charge can add, so the sweep keeps up


class MemoryStore:
    """A counter store without a server, exact within this process.

    Nothing is awaited between reading and taking, so callers on one event loop cannot interleave.
    Counters that count for nothing any more are dropped a few at a time. When every counter kept
    still counts, a new one is refused: forgetting a live counter would let its subject exceed a
    limit, and whoever can invent subjects could make the store forget. Known subjects go on.
    """

    def __init__(self, clock: Clock, *, max_counters: int = MAX_COUNTERS) -> None:
        self._clock = clock
        self._max_counters = max_counters
        self._calendars = Calendars()
        self._logs: dict[bytes, array[int]] = {}  # 8 bytes an admission; as objects, 40
        self._buckets: dict[bytes, Buckets] = {}  # 12 bytes each, in arrays too
        self._tallies: dict[bytes, Tally] = {}
        self._expires_ms: dict[bytes, int] = {}
        # One entry a counter, at or before the moment it expires: a charge that prolongs a counter
        # leaves its entry alone, and the sweep puts it back when it comes up.
        self._sweep_order: list[tuple[int, bytes]] = []
        self._answers = RecentAnswers(told_later)
        self._hit_answers = RecentAnswers(counted_later)
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted."""
        return not self._expires_ms

    async def connect(self) -> None:
        """There is nothing to connect to.

        Raises:
            StoreError: the store is closed.
        """
        self._check_open()

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """Take every charge from its limit, or none of them.

        Raises:
            InconclusiveError: no room for another counter.
            StoreError: the store is closed.
        """
        self._check_open()
        now_ms = self._clock.now_ms()
        self._drop_expired(now_ms)
        if once is None:
            return self._charge(subject, charges, now_ms)
        key = answer_key(subject, charges, once)
        recalled = self._answers.recall(key, now_ms)
        if recalled is not None:
            return recalled
        metered = self._charge(subject, charges, now_ms)
        if metered.admitted:
            self._answers.remember(key, metered, now_ms)
        return metered

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count one request at counters of several subjects.

        Raises:
            InconclusiveError: no room for another counter.
            StoreError: the store is closed.
        """
        self._check_open()
        now_ms = self._clock.now_ms()
        self._drop_expired(now_ms)
        if once is None:
            return self._hit_all(hits, now_ms)
        key = hits_answer_key(hits, once)
        recalled = self._hit_answers.recall(key, now_ms)
        if recalled is not None:
            return recalled
        counted = self._hit_all(hits, now_ms)
        if any(count and count.counted for count in counted.counts):
            self._hit_answers.remember(key, counted, now_ms)
        return counted

    @property
    def gives_back(self) -> bool:
        """Nothing is taken before all is known."""
        return False

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """What `charge` would be answered now, without charging.

        Raises:
            StoreError: the store is closed.
        """
        self._check_open()
        now_ms = self._clock.now_ms()
        keys = counter_keys(subject, charges)
        asked = zip(keys, charges, strict=True)
        found = tuple(self._read(key, charge, now_ms) for key, charge in asked)
        return Metered(not any(reading.retry_after_ms for reading in found), found)

    async def reset(self, subject: str, limits: tuple[Limit | Fixed, ...]) -> None:
        """Forget what these limits count of one subject.

        Raises:
            StoreError: the store is closed.
        """
        self._check_open()
        keys = {counter_key(subject, limit) for limit in limits} & self._expires_ms.keys()
        for key in keys:
            self._forget(key)
        # All entries are looked at: a reset is rare, and a charge must not pay for it.
        self._sweep_order = [entry for entry in self._sweep_order if entry[1] not in keys]
        heapify(self._sweep_order)

    def part_of(self, subject: str) -> str:  # noqa: ARG002 - the same for all
        """The memory is one part."""
        return ""

    def sweep(self) -> None:
        """Drop a few counters that count for nothing any more, as every charge does."""
        self._drop_expired(self._clock.now_ms())

    async def close(self) -> None:
        """Forget everything."""
        self._closed = True
        self._answers.clear()
        self._hit_answers.clear()
        self._logs.clear()
        self._buckets.clear()
        self._tallies.clear()
        self._expires_ms.clear()
        self._sweep_order.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the counter store is closed")

    def _charge(self, subject: str, charges: tuple[Charge, ...], now_ms: int) -> Metered:
        asked = list(zip(counter_keys(subject, charges), charges, strict=True))
        found = tuple(self._read(key, charge, now_ms) for key, charge in asked)
        if any(reading.retry_after_ms for reading in found):
            return Metered(admitted=False, readings=found)
        self._make_room(sum(key not in self._expires_ms for key, _ in asked))
        taken = tuple(self._take(key, charge, now_ms) for key, charge in asked)
        return Metered(admitted=True, readings=taken)

    def _hit_all(self, hits: tuple[Hit, ...], now_ms: int) -> Counted:
        asked = [(counter_key(hit.subject, hit.limit), hit) for hit in hits]
        found = self._look(asked, now_ms)
        passes = not is_over(hits, found)
        together = [(key, hit, count) for (key, hit), count in zip(asked, found, strict=True)]
        taken = {key for key, hit, it in together if takes(hit, over=it.over, passes=passes)}
        self._make_room(len(taken - self._expires_ms.keys()))
        counts = (self._hit(key, hit, it, now_ms, passes=passes) for key, hit, it in together)
        return Counted(not passes, tuple(counts))

    def _look(self, asked: Iterable[tuple[bytes, Hit]], now_ms: int) -> list[Count]:
        """Read the counters of a request. One that it counts at twice holds what came before."""
        pending: dict[bytes, int] = {}
        found = []
        for key, hit in asked:
            before = pending.get(key, 0)
            count = self._read_hit(key, hit, now_ms, pending=before)
            pending[key] = before + hit.cost * takes(hit, over=count.over, passes=True)
            found.append(count)
        return found

    def _read_hit(self, key: bytes, hit: Hit, now_ms: int, *, pending: int = 0) -> Count:
        limit = hit.limit
        if isinstance(limit, Fixed):
            return read_fixed(hit, limit, self._tallies.get(key), now_ms, pending=pending)
        charge = Charge(limit, hit.cost + pending, held=hit.held)
        used = self._used(key, limit, now_ms)
        return sliding_count(hit, self._read(key, charge, now_ms), used, counted=False)

    def _used(self, key: bytes, rate: Rate, now_ms: int) -> int:
        if rate.is_exact:
            return rate_used(rate, self._logs.get(key, ()), now_ms)
        return buckets_used(rate, self._buckets.get(key, _NO_BUCKETS), now_ms)

    def _hit(self, key: bytes, hit: Hit, found: Count, now_ms: int, *, passes: bool) -> Count:
        """Take a hit if it is to be taken, and tell its counter as it is when its turn comes."""
        if not (passes or hit.is_fixed):
            return found
        count = self._read_hit(key, hit, now_ms)
        if not takes(hit, over=found.over, passes=passes):
            return count
        limit = hit.limit
        if isinstance(limit, Fixed):
            tally, expires_ms = take_fixed(hit, limit, self._tallies.get(key), now_ms)
            self._tallies[key] = tally
            self._keep_until(key, expires_ms)
            return replace(count, counted=True)
        taken = self._take(key, Charge(limit, hit.cost, held=hit.held), now_ms)
        return sliding_count(hit, taken, count.used_before, counted=True)

    def _read(self, key: bytes, charge: Charge, now_ms: int) -> Reading:
        limit = charge.limit
        if isinstance(limit, Rate):
            if limit.is_exact:
                return read_rate(charge, limit, self._logs.get(key, ()), now_ms)
            return read_buckets(charge, limit, self._buckets.get(key, _NO_BUCKETS), now_ms)
        tally = self._tallies.get(key)
        return read_quota(charge, limit, tally, self._period(limit, tally, now_ms), now_ms)

    def _take(self, key: bytes, charge: Charge, now_ms: int) -> Reading:
        limit = charge.limit
        if isinstance(limit, Rate):
            if limit.is_exact:
                return self._take_rate(key, charge, limit, now_ms)
            return self._take_buckets(key, charge, limit, now_ms)
        held = self._tallies.get(key)
        tally = take_quota(charge, limit, held, self._period(limit, held, now_ms), now_ms)
        self._tallies[key] = tally.counter
        self._keep_until(key, tally.expires_ms)
        return tally.reading

    def _take_rate(self, key: bytes, charge: Charge, rate: Rate, now_ms: int) -> Reading:
        log = take_rate(charge, rate, self._logs.get(key, ()), now_ms)
        self._logs[key] = array("q", log.counter)
        self._keep_until(key, log.expires_ms)
        return log.reading

    def _take_buckets(self, key: bytes, charge: Charge, rate: Rate, now_ms: int) -> Reading:
        buckets = take_buckets(charge, rate, self._buckets.get(key, _NO_BUCKETS), now_ms)
        lasts_ms, counts = buckets.counter.lasts_ms, buckets.counter.counts
        self._buckets[key] = Buckets(array("q", lasts_ms), array("I", counts))
        self._keep_until(key, buckets.expires_ms)
        return buckets.reading

    def _period(self, quota: Quota, tally: Tally | None, now_ms: int) -> tuple[int, int]:
        periods = self._calendars.around(quota, tally_time(tally, now_ms))
        return periods.start_ms, periods.end_ms

    def _keep_until(self, key: bytes, expires_ms: int) -> None:
        if key not in self._expires_ms:
            heappush(self._sweep_order, (expires_ms, key))
        self._expires_ms[key] = expires_ms

    def _make_room(self, counters: int) -> None:
        if len(self._expires_ms) + counters > self._max_counters:
            raise InconclusiveError(f"all {self._max_counters} counters in memory are in use")

    def _drop_expired(self, now_ms: int) -> None:
        for _ in range(_SWEEP_STEPS):
            if not self._sweep_order or self._sweep_order[0][0] > now_ms:
                return
            _, key = heappop(self._sweep_order)
            expires_ms = self._expires_ms[key]
            if expires_ms > now_ms:
                heappush(self._sweep_order, (expires_ms, key))
            else:
                self._forget(key)

    def _forget(self, key: bytes) -> None:
        del self._expires_ms[key]
        self._logs.pop(key, None)
        self._buckets.pop(key, None)
        self._tallies.pop(key, None)
