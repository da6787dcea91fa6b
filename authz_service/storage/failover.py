"""Fail-over: the shared store while it answers, and what each limit wants while it does not."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from authz_service.clock import Clock, stopwatch
from authz_service.core.hits import Counted, Hit, Says
from authz_service.core.meter import Metered, Scope
from authz_service.core.rules import Charge, StoreFailure
from authz_service.errors import StoreError
from authz_service.observe.metrics import Metrics, StoreOutcome
from authz_service.storage.base import CounterStore, InconclusiveError, PartsFailedError
from authz_service.storage.breaker import Breaker
from authz_service.storage.breakers import Breakers
from authz_service.storage.denials import Denials, HitDenials
from authz_service.storage.hit_stand_in import told_with_held
from authz_service.storage.stand_in import StandIn

_WARNING_INTERVAL_MS: Final = 1_000
_LEFT_ALONE: Final = "the counter store keeps failing and is left alone for up to a second"

_log = structlog.get_logger(__name__)


class FailoverStore:
    """Counts in the shared store, and says so when it had to do otherwise.

    After repeated failures a circuit breaker keeps calls from waiting for a store, or for the part
    of one, that is gone. A denial is told again from memory for as long as it is certain to hold.
    """

    def __init__(
        self, shared: CounterStore, *, stand_in: StandIn, clock: Clock, metrics: Metrics
    ) -> None:
        self._shared = shared
        self._stand_in = stand_in
        self._clock = clock
        self._metrics = metrics
        self._breakers = Breakers()
        metrics.breakers_followed(lambda: self._breakers.open_count)
        self._denials = Denials()
        self._hit_denials = HitDenials()
        self._failing_since_ms: int | None = None
        self._failed_ms = 0
        self._next_warning_ms = 0

    @property
    def is_failing(self) -> bool:
        """Whether a part of the shared store has failed so often that it is left alone for now."""
        return self._failing_since_ms is not None

    @property
    def failing_ms(self) -> int:
        """How long that was so, all times together, the one that lasts included."""
        since_ms = self._failing_since_ms
        if since_ms is None:
            return self._failed_ms
        return self._failed_ms + self._clock.monotonic_ms() - since_ms

    async def connect(self) -> None:
        """Connect to the shared store ahead of the first charge; charges connect if it fails."""
        try:
            await self._shared.connect()
        except StoreError as error:
            _log.warning("the counter store is not there yet", error=str(error))

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """Take every charge from its limit, or none of them; `Metered.scope` says where.

        Charges under one `once` are taken once from each store that is asked. A charge that failed
        in the shared store may have been taken there all the same.

        Raises:
            StoreError: the shared store did not answer and one of the charges is to be denied
                then, or this process could not count either.
        """
        metered = self._denials.recall(subject, charges, self._clock.monotonic_ms())
        if metered is not None:
            self._metrics.denial_recalled()
        else:
            metered = await self._count(subject, charges, once)
        if metered.scope is Scope.SHARED:  # a part of a limit is nearer to its end than the limit
            self._metrics.metered(metered)
        return metered

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count one request at several counters; `Counted.scope` says where.

        A part of the shared store that fails fails the request. Then a hit that is neither to be
        counted here nor denied has no count. One in shadow is never denied. Those under one
        `once` are counted once by each store that is asked.

        Raises:
            StoreError: the shared store did not answer and one of the hits is to be denied then,
                or this process could not count either.
        """
        recalled = self._hit_denials.recall(hits, self._clock.monotonic_ms())
        if recalled is not None:
            self._metrics.denial_recalled()
            return recalled
        try:
            return await self._hit_shared(hits, once)
        except StoreError:
            if any(map(_denies, hits)):
                raise
        local = _counted_here(hits)
        if not local:
            self._metrics.fallback_decided(Scope.UNCOUNTED)
            return Counted(over=False, counts=(None,) * len(hits), scope=Scope.UNCOUNTED)
        counted = await self._stand_in.hits.hit(local, once=once)
        self._metrics.fallback_decided(Scope.LOCAL)
        counts = iter(counted.counts)
        return replace(
            counted,
            counts=tuple(
                next(counts) if hit.on_store_failure is StoreFailure.LOCAL else None for hit in hits
            ),
        )

    def forget_denials(self) -> None:
        """Ask the shared store anew for everybody: what is enforced has changed."""
        self._denials.clear()
        self._hit_denials.clear()

    async def close(self) -> None:
        """Close both stores."""
        try:
            await self._shared.close()
        finally:
            await self._stand_in.close()

    async def _count(self, subject: str, charges: tuple[Charge, ...], once: str | None) -> Metered:
        try:
            return await self._charge_shared(subject, charges, once)
        except StoreError:
            if any(charge.on_store_failure is StoreFailure.DENY for charge in charges):
                raise
        counted = tuple(it for it in charges if it.on_store_failure is StoreFailure.LOCAL)
        if not counted:
            self._metrics.fallback_decided(Scope.UNCOUNTED)
            return Metered(admitted=True, readings=(), scope=Scope.UNCOUNTED)
        metered = await self._stand_in.charge(subject, counted, once=once)
        self._metrics.fallback_decided(Scope.LOCAL)
        return metered

    async def _charge_shared(
        self, subject: str, charges: tuple[Charge, ...], once: str | None
    ) -> Metered:
        asked_ms = self._clock.monotonic_ms()
        breaker = self._breakers.of(self._shared.part_of(subject), asked_ms)
        ticket = breaker.ask(asked_ms)
        if ticket is None:
            self._metrics.store_skipped()
            raise StoreError(_LEFT_ALONE)
        asked = await self._stand_in.held(subject, charges)
        metered = await self._ask(subject, asked, once, breaker=breaker, ticket=ticket)
        self._stand_in.heard(subject, metered)
        if metered.admitted:
            return metered
        if asked is not charges:  # some of the places are this process's own: no answer to keep
            return await self._stand_in.denied(subject, metered)
        received_ms = self._clock.monotonic_ms()
        self._denials.note(subject, charges, metered, asked_ms=asked_ms, received_ms=received_ms)
        return metered

    async def _hit_shared(self, hits: tuple[Hit, ...], once: str | None) -> Counted:
        asked_ms = self._clock.monotonic_ms()
        parts = {hit.subject: self._shared.part_of(hit.subject) for hit in hits}
        tickets = self._tickets(set(parts.values()))
        asked = await self._stand_in.hits.held(hits)
        began = stopwatch()
        self._stand_in.hits.began(asked)
        try:
            counted = await self._shared.hit(asked, once=once)
        except StoreError as error:
            self._metrics.store_called(StoreOutcome.ERROR, stopwatch() - began)
            errors = error.errors if isinstance(error, PartsFailedError) else {}
            self._parts_failed(
                {parts[subject]: errors[subject] for subject in errors}
                or dict.fromkeys(tickets, error),
                tickets,
            )
            raise
        finally:
            self._stand_in.hits.ended(asked)
        self._metrics.store_called(StoreOutcome.OK, stopwatch() - began)
        self._parts_failed({}, tickets)
        self._stand_in.hits.heard(hits, counted)
        if asked is not hits:  # some of the places are this process's own: no answer to keep
            return told_with_held(asked, counted)
        if counted.over and not self._shared.gives_back:
            received_ms = self._clock.monotonic_ms()
            self._hit_denials.note(hits, counted, asked_ms=asked_ms, received_ms=received_ms)
        return counted

    def _tickets(self, parts: Iterable[str]) -> dict[str, tuple[Breaker, int]]:
        """Ask the breakers of all parts that a request needs."""
        now_ms = self._clock.monotonic_ms()
        tickets = {}
        for part in parts:
            breaker = self._breakers.of(part, now_ms)
            ticket = breaker.ask(now_ms)
            if ticket is None:
                self._metrics.store_skipped()
                raise StoreError(_LEFT_ALONE)
            tickets[part] = breaker, ticket
        return tickets

    def _parts_failed(
        self, errors: Mapping[str, StoreError], tickets: Mapping[str, tuple[Breaker, int]]
    ) -> None:
        """Note which parts failed; the others have answered."""
        for part, (breaker, ticket) in tickets.items():
            if part in errors:
                self._failed(errors[part], breaker, ticket)
            else:
                breaker.succeeded(ticket, self._clock.monotonic_ms())
        if self._failing_since_ms is not None:
            self._look_whether_all_answers()

    async def _ask(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        once: str | None,
        *,
        breaker: Breaker,
        ticket: int,
    ) -> Metered:
        began = stopwatch()
        self._stand_in.under_way.began(subject, charges)
        try:
            metered = await self._shared.charge(subject, charges, once=once)
        except StoreError as error:
            self._metrics.store_called(StoreOutcome.ERROR, stopwatch() - began)
            self._failed(error, breaker, ticket)
            raise
        finally:
            self._stand_in.under_way.ended(subject, charges)
        self._metrics.store_called(StoreOutcome.OK, stopwatch() - began)
        breaker.succeeded(ticket, self._clock.monotonic_ms())
        if self._failing_since_ms is not None:
            self._look_whether_all_answers()
        return metered

    def _look_whether_all_answers(self) -> None:
        self._breakers.forget_gone(self._clock.monotonic_ms())
        if not self._breakers.is_open:
            self._failed_ms, self._failing_since_ms = self.failing_ms, None
            _log.info("the counter store answers again")
            self._metrics.fallback(active=False)

    def _failed(self, error: StoreError, breaker: Breaker, ticket: int) -> None:
        if isinstance(error, InconclusiveError):
            self._warn(error)
            return
        was_open = breaker.is_open
        now_ms = self._clock.monotonic_ms()
        breaker.failed(ticket, now_ms)
        if breaker.is_open and not was_open:
            if self._failing_since_ms is None:
                self._failing_since_ms = now_ms
            _log.error("the counter store keeps failing", error=str(error))
            self._metrics.fallback(active=True)

    def _warn(self, error: InconclusiveError) -> None:
        """Log an error that opens no breaker, and so could come with every request."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._next_warning_ms:
            self._next_warning_ms = now_ms + _WARNING_INTERVAL_MS
            _log.warning("the counter store did not take a charge", error=str(error))


def _counted_here(hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    """Those to be counted here. Quotas refuse all together, and one that is left out never does."""
    local = tuple(hit for hit in hits if hit.on_store_failure is StoreFailure.LOCAL)
    left_out = (hit for hit in hits if hit.on_store_failure is not StoreFailure.LOCAL)
    if not any(hit.says is Says.QUOTA for hit in left_out):
        return local
    return tuple(replace(hit, says=Says.SHADOW) if hit.says is Says.QUOTA else hit for hit in local)


def _denies(hit: Hit) -> bool:
    return hit.on_store_failure is StoreFailure.DENY and hit.says is not Says.SHADOW
