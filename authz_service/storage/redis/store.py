"""The shared counter store: one script call a request."""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Self

import hiredis

from authz_service.clock import Clock
from authz_service.core.calendar import Calendars
from authz_service.core.counter_key import answer_key, counter_key, counter_keys, counter_kind
from authz_service.core.meter import Metered
from authz_service.core.rules import Charge, Limit, Quota
from authz_service.errors import StoreError
from authz_service.storage.redis.connection import Connection
from authz_service.storage.redis.link import Command
from authz_service.storage.redis.replies import Stale, check_count, error_code, read_verdict


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name Redis knows it by: the SHA-1 of its text, in hexadecimal."""

    text: str
    digest: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Name a script."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def charge_script() -> Script:
    """Read the script that this store runs, from the package."""
    return Script.from_text(files("authz_service.storage").joinpath("lua/charge.lua").read_text())


class RedisStore:
    """Counters in Redis or Valkey, on the server's clock, exact over all processes.

    A charge is one round trip. The server having forgotten the script costs two more, its clock
    being more than a period away from this process's clock costs one; each has the deadline of a
    call for itself.
    """

    def __init__(self, connection: Connection, *, script: Script, clock: Clock) -> None:
        self._connection = connection
        self._script = script
        self._clock = clock
        self._calendars = Calendars()

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
        return await self._ask([*keys, answer_key(subject, charges, once)], charges, "once")

    async def peek(self, subject: str, charges: tuple[Charge, ...]) -> Metered:
        """What `charge` would be answered now, without charging.

        Raises:
            StoreError: the server did not answer in time or answered nonsense.
        """
        return await self._ask(counter_keys(subject, charges), charges, "peek")

    async def reset(self, subject: str, limits: tuple[Limit, ...]) -> None:
        """Forget what these limits count of one subject.

        Raises:
            StoreError: the server did not answer in time or answered nonsense. The counters may
                then be gone.
        """
        keys = [counter_key(subject, limit) for limit in limits]
        check_count(await self._connection.call(("DEL", *keys)))

    def part_of(self, subject: str) -> str:  # noqa: ARG002 - the same for all
        """One server is one part."""
        return ""

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

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
        reply = await self._run(("EVALSHA", self._script.digest, len(keys), *keys, *arguments))
        return read_verdict(reply, charges)

    async def _run(self, command: Command) -> object:
        reply = await self._connection.call(command)
        if isinstance(reply, hiredis.ReplyError) and error_code(reply) == "NOSCRIPT":
            await self._connection.call(("SCRIPT", "LOAD", self._script.text))
            reply = await self._connection.call(command)
        return reply

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
