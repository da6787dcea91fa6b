"""A span around each call of the shared store. Wrapped around it only while traces are on."""

from authz_service.core.hits import Counted, Fixed, Hit
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Limit
from authz_service.observe.tracing import Tracer
from authz_service.storage.base import CounterStore

_OUTCOME = "store.outcome"


class TracedStore:
    """The store itself in all but the spans. A call that fails has a span that failed."""

    def __init__(self, inner: CounterStore, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """As the store does."""
        with self._tracer.span("store charge"):
            metered = await self._inner.charge(subject, charges, once=once)
            self._tracer.tell({_OUTCOME: "admitted" if metered.admitted else "refused"})
            return metered

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """As the store does."""
        with self._tracer.span("store hit"):
            counted = await self._inner.hit(hits, once=once)
            self._tracer.tell({_OUTCOME: "refused" if counted.over else "admitted"})
            return counted

    @property
    def gives_back(self) -> bool:
        """As the store does."""
        return self._inner.gives_back

    async def connect(self) -> None:
        """As the store does."""
        await self._inner.connect()

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """As the store does."""
        return await self._inner.peek(subject, charges)

    async def reset(self, subject: str, limits: tuple[Limit | Fixed, ...]) -> None:
        """As the store does."""
        await self._inner.reset(subject, limits)

    def part_of(self, subject: str) -> str:
        """As the store does."""
        return self._inner.part_of(subject)

    async def close(self) -> None:
        """As the store does."""
        await self._inner.close()
