"""The shared counter store: one script call a request."""

from authz_service.clock import Clock
from authz_service.core.calendar import Calendars
from authz_service.core.counter_key import (
    answer_key,
    counter_key,
    counter_keys,
    counter_kind,
    subject_key,
)
from authz_service.core.hits import Counted, Fixed, Hit
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Limit, Quota
from authz_service.errors import StoreError
from authz_service.storage.redis.hits import HitCalls
from authz_service.storage.redis.replies import KeysApartError, Stale, check_count, read_verdict
from authz_service.storage.redis.script import Scripts
from authz_service.storage.redis.servers import Server


class RedisStore:
    """Counters in Redis or Valkey, on the server's clock, exact over all processes.

    A charge is one round trip. The server having forgotten the script costs two more, its clock
    being more than a period away from this process's clock costs one, and so may a slot of a
    cluster that is moving; each has the deadline of a call for itself.
    """

    def __init__(self, server: Server, *, scripts: Scripts, clock: Clock) -> None:
        self._server = server
        self._script = scripts.charge
        self._hits = HitCalls(server, scripts=scripts)
        self._clock = clock
        self._calendars = Calendars()

    async def connect(self) -> None:
        """Connect before the first charge, and learn the nodes of a cluster.

        Raises:
            StoreError: that failed within a second.
        """
        await self._server.connect()

    async def charge(
        self, subject: str, charges: tuple[Charge, ...], *, once: str | None = None
    ) -> Metered:
        """Take every charge from its limit, or none of them.

        Raises:
            StoreError: the server did not answer in time or answered nonsense. The charge may
                then have been taken.
        """
        keys = counter_keys(subject, charges)
        if once is None:
            return await self._ask(keys, charges)
        try:
            return await self._ask([*keys, answer_key(subject, charges, once)], charges, "once")
        except KeysApartError:
            # While a slot moves, keys that are there have to be together and new ones alone. The
            # answer's is always new: with it, no subject of the slot could be counted.
            return await self._ask(keys, charges)

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None = None) -> Counted:
        """Count one request at counters of several subjects: see `HitCalls`.

        Raises:
            PartsFailedError: some nodes of a cluster answered and others did not.
            StoreError: the server did not answer in time or answered nonsense.
        """
        return await self._hits.count(hits, once)

    @property
    def gives_back(self) -> bool:
        """On a cluster: a request over several slots takes from each before it knows of all."""
        return self._server.has_slots

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """What `charge` would be answered now, without charging.

        Raises:
            StoreError: the server did not answer in time or answered nonsense.
        """
        return await self._ask(counter_keys(subject, charges), charges, "peek")

    async def reset(self, subject: str, limits: tuple[Limit | Fixed, ...]) -> None:
        """Forget what these limits count of one subject.

        Raises:
            StoreError: the server did not answer in time or answered nonsense. The counters may
                then be gone.
        """
        keys = [counter_key(subject, limit) for limit in limits]
        check_count(await self._server.call(("DEL", *keys), subject_key(subject)))

    def part_of(self, subject: str) -> str:
        """The server that counts a subject now: a node of a cluster, by its address, or all."""
        return self._server.part_of(subject_key(subject))

    async def close(self) -> None:
        """Close every connection."""
        await self._server.close()

    async def _ask(self, keys: list[bytes], charges: tuple[Charge, ...], *option: str) -> Metered:
        moments_ms = (self._clock.now_ms(),) * len(charges)
        verdict = await self._ask_around(moments_ms, keys, charges, *option)
        if isinstance(verdict, Stale):
            verdict = await self._ask_around(verdict.moments_ms, keys, charges, *option)
        if isinstance(verdict, Stale):
            raise StoreError("the counter store's clock does not stand still")
        return verdict

    async def _ask_around(
        self,
        moments_ms: tuple[int, ...],
        keys: list[bytes],
        charges: tuple[Charge, ...],
        *option: str,
    ) -> Metered | Stale:
        arguments = (*self._arguments(charges, moments_ms), *option)
        command = ("EVALSHA", self._script.digest, len(keys), *keys, *arguments)
        reply = await self._server.call(command, keys[0], script=self._script)
        return read_verdict(reply, charges)

    def _arguments(
        self, charges: tuple[Charge, ...], moments_ms: tuple[int, ...]
    ) -> list[str | bytes | int]:
        arguments: list[str | bytes | int] = []
        for charge, moment_ms in zip(charges, moments_ms, strict=True):
            limit = charge.limit
            arguments += (counter_kind(limit), charge.cost, limit.limit - charge.held)
            if isinstance(limit, Quota):
                arguments += self._periods(limit, moment_ms)
            else:
                arguments.append(limit.window_ms)
        return arguments

    def _periods(self, quota: Quota, moment_ms: int) -> tuple[int, int, int, int]:
        try:
            return self._calendars.around(quota, moment_ms)
        except ValueError:
            raise StoreError("the counter store's clock is outside the calendar") from None
