"""Bytes that one subject's counter takes, its window full: in a server and in this process.

Charges so many subjects as they would come in a minute, on a clock of its own, and reads what the
server says it uses and what Python has allocated. The names of subjects have 16 characters.
"""

import argparse
import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from store import valkey

from authz_service.core.rules import EXACT_ADMISSIONS, Charge, Rate
from authz_service.storage.base import CounterStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.connection import Connection
from authz_service.storage.redis.endpoint import parse_endpoint
from authz_service.storage.redis.script import Script, counting_scripts
from authz_service.storage.redis.store import RedisStore
from authz_service.testing.clock import ManualClock

START_MS = 1_906_761_600_500  # half a second into a bucket, so that a window meets one more
MINUTE_MS = 60_000
IN_FLIGHT = 100
TIME = "redis.call('TIME')"
TIME_KEY = "bench-time"
TIME_OF_KEY = f"{{redis.call('GET', '{TIME_KEY}') / 1000, 0}}"


@dataclass(frozen=True, slots=True)
class Full:
    """A limit of so many a minute, filled in so many steps."""

    limit: int
    steps: int

    @property
    def charge(self) -> Charge:
        """What one step takes."""
        rate = Rate(name="per-minute", limit=self.limit, window_ms=MINUTE_MS)
        return Charge(rate, self.limit // self.steps)


FULL = (
    Full(1, 1),
    Full(10, 10),
    Full(60, 60),
    Full(300, 300),
    Full(1_000, 1_000),
    Full(10_000, 100),
)


async def fill(
    store: CounterStore, full: Full, subjects: int, pause: Callable[[int], Awaitable[None]]
) -> None:
    """Charge every subject in every step, and let time pass between them."""
    for _ in range(full.steps):
        for first in range(0, subjects, IN_FLIGHT):
            several = range(first, min(subjects, first + IN_FLIGHT))
            names = [f"key:3f2a9c0d{number:04x}" for number in several]
            answers = await asyncio.gather(*(store.charge(name, (full.charge,)) for name in names))
            if not all(answer.admitted for answer in answers):
                raise RuntimeError("a window was full too early")
        await pause(MINUTE_MS // full.steps)


async def in_process(full: Full, subjects: int) -> float:
    """Bytes a subject in this process."""
    if full.charge.limit.limit <= EXACT_ADMISSIONS:
        full = Full(full.limit, 1)  # a log in memory is the same however it was filled
    clock = ManualClock(START_MS)
    store = MemoryStore(clock)

    async def pause(elapsed_ms: int) -> None:
        clock.advance(elapsed_ms)

    tracemalloc.start()
    await fill(MemoryStore(clock), full, IN_FLIGHT, pause)  # what is allocated once and for all
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    await fill(store, full, subjects, pause)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    await store.close()
    return used / subjects


async def in_server(socket: Path, full: Full, subjects: int) -> float:
    """Bytes a subject in the server, whose script reads the time from a key."""
    clock = ManualClock(START_MS)
    connection = Connection(
        parse_endpoint(f"unix://{socket}"),
        clock=clock,
        backoff=Backoff(random=lambda: 0.0),
        timeout_s=10,
    )
    scripts = counting_scripts()
    on_clock = Script.from_text(scripts.charge.text.replace(TIME, TIME_OF_KEY))
    store = RedisStore(connection, scripts=replace(scripts, charge=on_clock), clock=clock)
    with redis.Redis(unix_socket_path=str(socket)) as admin:

        async def pause(elapsed_ms: int) -> None:
            clock.advance(elapsed_ms)
            admin.set(TIME_KEY, clock.now_ms())

        admin.flushall()
        await pause(0)
        await store.charge("key:warm-up", (full.charge,))
        before = used_bytes(admin)
        await fill(store, full, subjects, pause)
        used = used_bytes(admin) - before
    await store.close()
    return used / subjects


def used_bytes(admin: "redis.Redis") -> int:
    """What the server uses for everything but its clients."""
    memory = admin.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"])


async def main(program: str | None, subjects: int) -> None:
    """Print the table."""
    print("full limit a minute   bytes in the server   bytes in process")
    for full in FULL:
        with valkey(program) if program else valkey() as socket:
            server = await in_server(socket, full, subjects)
        process = await in_process(full, subjects)
        print(f"{full.limit:>19,}{server:>22,.0f}{process:>19,.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--subjects", type=int, default=1_000, help="how many (%(default)s)")
    parser.add_argument("--server", metavar="PROGRAM", help="in place of the Valkey of the tests")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.server, arguments.subjects))
