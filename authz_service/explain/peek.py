"""A counter for the engine that takes nothing: it looks, and tells what a charge would leave."""

from dataclasses import replace

from authz_service.clock import Clock
from authz_service.core.calendar import Calendars
from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Rate
from authz_service.errors import AuthzServiceError, StoreError
from authz_service.storage.base import CounterStore


class NotSeenError(AuthzServiceError):
    """The counter store did not answer here, which says nothing of how it answers the service."""


class NoGuesses:
    """Counts no bad credential: how many an address has presented, each worker knows for itself."""

    def note(self, address: str, rate: Rate) -> int:  # noqa: ARG002 - nothing is counted
        """No wait."""
        return 0


class PeekingCounter:
    """Answers as a charge would be answered. Keeps what it found, for whoever asks afterwards."""

    def __init__(self, store: CounterStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._calendars = Calendars()
        self.found: tuple[Reading, ...] = ()
        self.left: tuple[Reading, ...] = ()

    async def charge(
        self,
        subject: str,
        charges: tuple[Charge, ...],
        *,
        once: str | None,  # noqa: ARG002 - a request that is explained has not been answered yet
    ) -> Metered:
        """What a charge would be answered now.

        Raises:
            NotSeenError: the store did not answer.
        """
        try:
            metered = await self._store.peek(subject, charges)
        except StoreError as error:
            raise NotSeenError(f"the counters cannot be seen: {error}") from error
        self.found = metered.readings
        if metered.admitted:
            readings = tuple(map(self._after_charge, metered.readings))
            metered = replace(metered, readings=readings)
        self.left = metered.readings
        return metered

    def _after_charge(self, reading: Reading) -> Reading:
        return replace(
            reading,
            remaining=reading.remaining - reading.charge.cost,
            reset_ms=reading.reset_ms or self._whole_ms(reading.charge),
        )

    def _whole_ms(self, charge: Charge) -> int:
        """How long the first charge of a limit counts."""
        limit = charge.limit
        if isinstance(limit, Rate):
            return limit.window_ms
        now_ms = self._clock.now_ms()
        return self._calendars.around(limit, now_ms).end_ms - now_ms
