"""What is known of a cluster's slots, and how it is learnt anew."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from authz_service.addresses import HostAndPort
from authz_service.clock import Clock
from authz_service.errors import StoreError
from authz_service.storage.base import InconclusiveError
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.endpoint import ClusterSeeds, Endpoint
from authz_service.storage.redis.opening import open_link
from authz_service.storage.redis.slots import Owners, read_owners

_ASK_TIMEOUT_S: Final = 0.2  # one node, from connecting to its answer
_ATTEMPT_TIMEOUT_S: Final = 1.0  # all that are asked in one attempt
_DOUBT_MS: Final = 1_200  # longer than the interval at which a breaker lets a call through


class ClusterMap:
    """Which node serves which slot, as one of the nodes said when it was last asked.

    Nodes are asked one after another, first one that a slot has moved to and the others in random
    order, by one task at a time, with growing pauses: a cluster in trouble is not stormed. Each is
    asked over a socket of its own, so that a node that hangs holds up nothing else.
    """

    def __init__(
        self,
        cluster: ClusterSeeds,
        *,
        clock: Clock,
        random: Callable[[], float],
        learnt: Callable[[frozenset[HostAndPort]], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._random = random
        self._learnt = learnt
        self._backoff = Backoff(random=random)
        self._owners: list[HostAndPort | None] = []
        self._best_informed: HostAndPort | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._doubted_until_ms = 0
        self._closed = False

    @property
    def is_known(self) -> bool:
        """Whether any node has ever been understood."""
        return bool(self._owners)

    def owner(self, slot: int) -> HostAndPort | None:
        """Where a slot is served, None if that is unknown or nowhere."""
        return self._owners[slot] if self._owners else None

    def moved(self, slot: int, place: HostAndPort) -> None:
        """Note what a node said of one slot, and ask about the others soon: first the node named.

        Others may not have heard yet that the slot has moved.
        """
        if self._owners:
            self._owners[slot] = place
        self._best_informed = place
        self._ask_soon()

    def doubted(self) -> None:
        """Ask soon, and then again for a second: a node failed, and may be replaced."""
        self._doubted_until_ms = self._clock.monotonic_ms() + _DOUBT_MS
        self._ask_soon()

    async def learn(self) -> None:
        """Ask now, or wait for the attempt that is under way: a second at most.

        Raises:
            InconclusiveError: not asked, so soon after the last attempt.
            StoreError: no node gave an answer that makes sense.
        """
        attempt = self._attempting()
        # Not awaited itself: a caller who gives up must not cancel it for the others.
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise StoreError("the counter store is closed")
        attempt.result()

    async def close(self) -> None:
        """Stop asking."""
        self._closed = True
        tasks = [task for task in (self._watch, self._attempt) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _attempting(self) -> asyncio.Task[None]:
        if self._closed:
            raise StoreError("the counter store is closed")
        if self._attempt is None:
            if not self._backoff.is_over(self._clock.monotonic_ms()):
                raise InconclusiveError(f"the nodes of {self._cluster} were asked just now")
            self._attempt = asyncio.create_task(self._ask_all())
            self._attempt.add_done_callback(self._attempted)
        return self._attempt

    def _attempted(self, attempt: asyncio.Task[None]) -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # looked at, whether or not anybody waits for it
            # After a success as well: what was learnt may be what a failed call knew already.
            self._backoff.failed(self._clock.monotonic_ms())

    def _ask_soon(self) -> None:
        if self._watch is None and not self._closed:
            self._watch = asyncio.create_task(self._ask_while_in_doubt())
            self._watch.add_done_callback(self._watched)

    def _watched(self, _: asyncio.Task[None]) -> None:
        self._watch = None

    async def _ask_while_in_doubt(self) -> None:
        while True:
            await asyncio.sleep(self._backoff.remaining_ms(self._clock.monotonic_ms()) / 1000)
            with suppress(StoreError):
                await self.learn()
            if self._clock.monotonic_ms() >= self._doubted_until_ms:
                return

    async def _ask_all(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                for endpoint in self._in_order():
                    owners = await self._ask(endpoint)
                    if owners is not None:
                        self._owners = list(owners)
                        self._learnt(frozenset(place for place in owners if place is not None))
                        return
        raise StoreError(f"no node of {self._cluster} says where the counters are")

    def _in_order(self) -> Iterable[Endpoint]:
        login = self._cluster.seeds[0]
        known = {place for place in self._owners if place is not None}
        places = sorted(
            known | {seed.place for seed in self._cluster.seeds}, key=lambda _: self._random()
        )
        if self._best_informed is not None:
            places = [self._best_informed, *places]
            self._best_informed = None
        return map(login.at, places)

    async def _ask(self, endpoint: Endpoint) -> Owners | None:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                link = await open_link(endpoint, timeout_s=_ASK_TIMEOUT_S)
                try:
                    reply = await link.send(("CLUSTER", "SLOTS"))
                finally:
                    link.give_up("the node has answered")
        except (TimeoutError, StoreError):
            return None
        return read_owners(reply, endpoint.place)
