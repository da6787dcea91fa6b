"""Charges against set-ups that lose servers: who is served, who is not, and for how long."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import SystemRandom

from authz_service.clock import SystemClock
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import store_from_url

DEADLINE_MS = 100
LIMIT = 1_000
MINUTE = (Charge(Rate(name="per-minute", limit=LIMIT, window_ms=60_000), 1),)
MINUTE_AND_DAY = (
    *MINUTE,
    Charge(Quota(name="per-day", limit=LIMIT, period=Period.DAY, zone="UTC"), 1),
)
SUBJECTS = [f"key:{number}" for number in range(12)]
PAUSE_S = 0.005


@asynccontextmanager
async def opened(url: str, *, timeout_ms: int = DEADLINE_MS) -> AsyncIterator[CounterStore]:
    """Open a store as it is deployed, with a deadline that a busy machine keeps."""
    store = store_from_url(
        url, clock=SystemClock(), random=SystemRandom().random, timeout_ms=timeout_ms
    )
    try:
        yield store
    finally:
        await store.close()


async def remaining(store: CounterStore, subject: str = "key:a") -> int:
    """Charge once and return what is left."""
    return (await store.charge(subject, MINUTE)).readings[0].remaining


async def recovered(store: CounterStore, subject: str = "key:a") -> int:
    """Charge until it works, as a client does; the test's own time limit ends it."""
    while True:
        try:
            return await remaining(store, subject)
        except StoreError:
            await asyncio.sleep(PAUSE_S)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for three seconds at most."""
    async with asyncio.timeout(3.0):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in tasks of the store
            await asyncio.sleep(PAUSE_S)


@dataclass
class Traffic:
    """What became of charges that were made all the time, by subject."""

    taken: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    longest_ms: int = 0

    def took(self, subject: str) -> None:
        """Note a charge."""
        self.taken[subject] = self.taken.get(subject, 0) + 1


@asynccontextmanager
async def traffic(store: CounterStore) -> AsyncIterator[Traffic]:
    """Charge every subject of `SUBJECTS` again and again while the block runs."""
    seen = Traffic()
    callers = [asyncio.create_task(_charge_on(store, subject, seen)) for subject in SUBJECTS]
    try:
        yield seen
    finally:
        for caller in callers:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
    unexpected = [it for it in results if not isinstance(it, asyncio.CancelledError)]
    assert unexpected == []


async def _charge_on(store: CounterStore, subject: str, seen: Traffic) -> None:
    clock = SystemClock()
    while True:
        began_ms = clock.monotonic_ms()
        try:
            await store.charge(subject, MINUTE)
            seen.took(subject)
        except StoreError as error:
            seen.failed.setdefault(subject, []).append(str(error))
        seen.longest_ms = max(seen.longest_ms, clock.monotonic_ms() - began_ms)
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def fake(
    answers: Mapping[bytes, bytes], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on a port: commands that hold one of these words get its answer, others `+OK`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while read := await reader.read(65_536):
                found = [answer for word, answer in answers.items() if word in read]
                writer.write(b"".join(found) if found else b"+OK\r\n")
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
