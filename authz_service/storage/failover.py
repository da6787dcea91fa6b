"""What a limited request gets while the shared store does not answer."""

from dataclasses import replace
from typing import Final, assert_never

import structlog

from authz_service.clock import Clock, stopwatch
from authz_service.core.meter import Metered, Scope
from authz_service.core.rules import Charge, StoreFailure
from authz_service.errors import StoreError
from authz_service.observe.metrics import Metrics, StoreOutcome
from authz_service.storage.base import CounterStore, InconclusiveError
from authz_service.storage.breaker import Breaker

_WARNING_INTERVAL_MS: Final = 1_000

_log = structlog.get_logger(__name__)


class FailoverStore:
    """Counts in the shared store, and says so when it had to do otherwise.

    After repeated failures a circuit breaker keeps calls from waiting for a store that is gone.
    """

    def __init__(
        self, shared: CounterStore, *, local: CounterStore, clock: Clock, metrics: Metrics
    ) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._metrics = metrics
        self._breaker = Breaker()
        self._next_warning_ms = 0

    @property
    def is_failing(self) -> bool:
        """Whether the shared store has failed so often that it is left alone for now."""
        return self._breaker.is_open

    async def charge(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        on_failure: StoreFailure,
        *,
        once: str | None = None,
    ) -> Metered:
        """Take every charge from its limit, or none of them; `Metered.scope` says where.

        Charges under one `once` are taken once from each store that is asked. A charge that failed
        in the shared store may have been taken there all the same.

        Raises:
            StoreError: the shared store did not answer and `on_failure` is to deny, or this
                process could not count either.
        """
        try:
            return await self._charge_shared(subject, charges, once)
        except StoreError:
            if on_failure is StoreFailure.DENY:
                raise
        if on_failure is StoreFailure.ALLOW:
            self._metrics.fallback_decided(Scope.UNCOUNTED)
            return Metered(admitted=True, readings=(), scope=Scope.UNCOUNTED)
        if on_failure is StoreFailure.LOCAL:
            metered = await self._local.charge(subject, charges, once=once)
            self._metrics.fallback_decided(Scope.LOCAL)
            return replace(metered, scope=Scope.LOCAL)
        assert_never(on_failure)

    async def close(self) -> None:
        """Close both stores."""
        try:
            await self._shared.close()
        finally:
            await self._local.close()

    async def _charge_shared(
        self, subject: str, charges: tuple[Charge, ...], once: str | None
    ) -> Metered:
        ticket = self._breaker.ask(self._clock.monotonic_ms())
        if ticket is None:
            self._metrics.store_skipped()
            raise StoreError("the counter store keeps failing and is left alone for up to a second")
        began = stopwatch()
        try:
            metered = await self._shared.charge(subject, charges, once=once)
        except StoreError as error:
            self._metrics.store_called(StoreOutcome.ERROR, stopwatch() - began)
            self._failed(error, ticket)
            raise
        self._metrics.store_called(StoreOutcome.OK, stopwatch() - began)
        self._succeeded(ticket)
        return metered

    def _succeeded(self, ticket: int) -> None:
        was_open = self._breaker.is_open
        self._breaker.succeeded(ticket, self._clock.monotonic_ms())
        if was_open and not self._breaker.is_open:
            _log.info("the counter store answers again")
            self._metrics.fallback(active=False)

    def _failed(self, error: StoreError, ticket: int) -> None:
        if isinstance(error, InconclusiveError):
            self._warn(error)
            return
        was_open = self._breaker.is_open
        self._breaker.failed(ticket, self._clock.monotonic_ms())
        if self._breaker.is_open and not was_open:
            _log.error("the counter store keeps failing", error=str(error))
            self._metrics.fallback(active=True)

    def _warn(self, error: InconclusiveError) -> None:
        """Log an error that opens no breaker, and so could come with every request."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._next_warning_ms:
            self._next_warning_ms = now_ms + _WARNING_INTERVAL_MS
            _log.warning("the counter store did not take a charge", error=str(error))
