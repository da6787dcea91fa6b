"""Counting hits in this process while the shared store is away, and handing back afterwards."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from authz_service.clock import Clock
from authz_service.core.counter_key import counter_key
from authz_service.core.hits import Count, Counted, Hit, Says
from authz_service.core.meter import Scope
from authz_service.storage.generations import Generations
from authz_service.storage.last_readings import COUNTERS
from authz_service.storage.memory import MemoryStore
from authz_service.storage.shares import share, taken_share
from authz_service.storage.under_way import UnderWay


class _Heard(NamedTuple):
    """So many places were taken in the shared store; all are free again at that moment."""

    places: int
    until_ms: int


_NOTHING: Final = _Heard(0, 0)


class HitStandIn:
    """What `StandIn` is for charges, and under the same promises.

    The waits that it tells may be longer than needed, never shorter.
    """

    def __init__(self, clock: Clock, *, sharing: int, counters: MemoryStore) -> None:
        self._clock = clock
        self._sharing = sharing
        self._counters = counters
        self._last = Generations[bytes, _Heard](at_least=COUNTERS)
        self._under_way = UnderWay()

    def began(self, hits: tuple[Hit, ...]) -> None:
        """The shared store is being asked for these."""
        for hit in hits:
            self._under_way.began(hit.subject, (hit,))

    def ended(self, hits: tuple[Hit, ...]) -> None:
        """It has answered them, or they were given up."""
        for hit in hits:
            self._under_way.ended(hit.subject, (hit,))

    def heard(self, hits: tuple[Hit, ...], counted: Counted) -> None:
        """The shared store has said this of counters."""
        now_ms = self._clock.monotonic_ms()
        for hit, count in _with_counts(hits, counted):
            places = count.used_before + hit.cost * count.counted
            lasts_ms = count.reset_ms if hit.is_fixed else hit.limit.window_ms
            key = counter_key(hit.subject, hit.limit)
            self._last.put(key, _Heard(places, now_ms + lasts_ms))

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count a request in this process's part of each limit.

        Raises:
            StoreError: no room for another counter.
        """
        now_ms = self._clock.monotonic_ms()
        taken = [self._taken(hit, now_ms) for hit in hits]
        parts = tuple(map(self._part, hits, taken))
        counted = await self._counters.hit(parts, once=once)
        counts = (
            _with_waits(count, heard.until_ms - now_ms) if heard.places else count
            for (_, count), heard in zip(_with_counts(parts, counted), taken, strict=True)
        )
        return Counted(counted.over, tuple(counts), Scope.LOCAL)

    async def held(self, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
        """The hits for the shared store, which is to leave free what was counted here."""
        if self._counters.is_empty:
            return hits
        self._counters.sweep()
        looks = (self._part(hit, _NOTHING) for hit in hits)
        looks = (replace(look, cost=0, says=Says.SHADOW) for look in looks)
        found = await self._counters.hit(tuple(looks))
        held = [min(it.used_before, hit.limit.limit) for hit, it in _with_counts(hits, found)]
        if not any(held):
            return hits
        return tuple(replace(hit, held=n) for hit, n in zip(hits, held, strict=True))

    def _taken(self, hit: Hit, now_ms: int) -> _Heard:
        """What the shared store holds of a limit, what it may be taking at this moment included."""
        heard = self._last.get(counter_key(hit.subject, hit.limit))
        last = heard if heard is not None and heard.until_ms > now_ms else _NOTHING
        under_way = self._under_way.places(hit.subject, hit.limit)
        # What a fixed window counts comes free when it ends, wherever it is counted.
        renewed = under_way and not hit.is_fixed
        until_ms = now_ms + hit.limit.window_ms if renewed else last.until_ms
        return _Heard(min(last.places + under_way, hit.limit.limit), until_ms)

    def _part(self, hit: Hit, taken: _Heard) -> Hit:
        """What a hit is here: of a part of the limit, of which as large a part is taken."""
        whole = hit.limit.limit
        if not whole:
            return hit
        places = share(whole, self._sharing)
        return replace(
            hit,
            limit=replace(hit.limit, limit=places),
            cost=hit.cost if hit.cost > whole else min(hit.cost, places),
            held=taken_share(taken.places, whole, places),
        )


def told_with_held(hits: tuple[Hit, ...], counted: Counted) -> Counted:
    """What the shared store said, its waits long enough for what is held for it here.

    Where that and the cost exceed the limit, what is held must come free too. All of it does
    within a window.
    """
    counts = (
        _with_waits(count, hit.limit.window_ms)
        if hit.held and hit.held + hit.cost > hit.limit.limit and not hit.is_fixed
        else count
        for hit, count in _with_counts(hits, counted)
    )
    return replace(counted, counts=tuple(counts))


def _with_waits(count: Count, least_ms: int) -> Count:
    """A count with a wait so long at least, if there is one, and something to wait for."""
    retry_ms = max(count.retry_after_ms, least_ms) if count.retry_after_ms else 0
    return replace(count, reset_ms=count.reset_ms or least_ms, retry_after_ms=retry_ms)


def _with_counts(hits: Iterable[Hit], counted: Counted) -> Iterable[tuple[Hit, Count]]:
    """The hits that were counted or looked at. All of them, when a store has answered."""
    for hit, count in zip(hits, counted.counts, strict=True):
        if count is not None:
            yield hit, count
