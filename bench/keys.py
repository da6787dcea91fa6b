"""Keys in memory and their revocation: look-up time, bytes a key, what a load costs, latency.

    python bench/keys.py [KEYS_OF_THE_LOAD] [REVOCATIONS]

Look-ups at 10 to 1,000,000 keys, of known and of unknown ones. Then Valkey with so many keys
(100,000) and two processes that follow it: how long loading takes, how long a check would have
waited meanwhile, and how long until both know of each of so many revocations (200).
"""

import asyncio
import gc
import itertools
import json
import random
import secrets
import statistics
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvloop
from store import valkey

from authz_service.clock import SystemClock
from authz_service.core.api_key import ApiKeyRecord, make_key
from authz_service.core.key_digest import Pepper, digest, spell_digest
from authz_service.identity.key_changes import Version
from authz_service.identity.key_codec import encode
from authz_service.identity.key_feed import KeyFeed
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.key_store import KeyChange, KeyStore, StoredKey
from authz_service.identity.store_keys import StoreKeys
from authz_service.observe.metrics import Metrics
from authz_service.storage.from_url import key_changes_from_url, key_store_from_url

SIZES = (10, 1_000, 100_000, 1_000_000)
LOOK_UPS = 100_000
BATCH = 2_000
PEPPERS = (Pepper(b"p" * 32),)
FOLLOWER = "follower"


def record(number: int) -> StoredKey:
    """A key as most are: an id of its own, an end, one of three tiers."""
    return StoredKey(
        id=f"key_{number:012x}",
        digest=spell_digest(digest(secret(number), PEPPERS[0])),
        name=f"Customer {number}",
        subject=f"key_{number:012x}",
        tier=("free", "pro", "enterprise")[number % 3],
        scopes=("read", "write"),
        expires_at_ms=1_999_999_999_000 + number,
        created_at_ms=1_900_000_000_000,
    )


def secret(number: int) -> bytes:
    """The key with a number."""
    return f"sk_live_{number:032d}_000000".encode()


def filled(count: int) -> tuple[KeyIndex, StoreKeys]:
    """So many keys of a store."""
    index = KeyIndex({}, peppers=PEPPERS)
    keys = StoreKeys(index, clock=SystemClock(), max_stale_ms=10**9)
    keys.begin_load(count)
    for number in range(count):
        stored = record(number)
        keys.take(Version(stored.id, number, encode(stored)))
    keys.end_load()
    keys.confirm()
    return index.beside(keys), keys


def look_up_ns(index: KeyIndex, count: int) -> tuple[float, float]:
    """Nanoseconds for a known key and for an unknown one."""
    picked = random.Random(1)  # noqa: S311 - which keys are asked for
    known = [secret(picked.randrange(count)) for _ in range(LOOK_UPS)]
    unknown = [secret(count + number) for number in range(LOOK_UPS)]
    found = []
    for wanted in (known, unknown):
        began = time.perf_counter_ns()
        for key in wanted:
            index.find(key)
        found.append((time.perf_counter_ns() - began) / LOOK_UPS)
    return found[0], found[1]


def measure_memory() -> None:
    """Print the rows of look-ups."""
    print("     keys   known ns   unknown ns   bytes a key")
    for count in SIZES:
        gc.collect()
        tracemalloc.start()
        index, keys = filled(count)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        known, unknown = look_up_ns(index, count)
        print(f"{count:>9}{known:>11.0f}{unknown:>13.0f}{used / count:>14.0f}")
        del index, keys


class Follower:
    """What a worker has for a key store, here in a process of its own."""

    def __init__(self, url: str) -> None:
        clock, index = SystemClock(), KeyIndex({}, peppers=PEPPERS)
        self.metrics = Metrics()
        self.keys = StoreKeys(index, clock=clock, max_stale_ms=600_000)
        self.index = index.beside(self.keys)
        self.feed = KeyFeed(
            key_changes_from_url(url),
            keys=self.keys,
            clock=clock,
            random=random.random,  # noqa: TID251 - jitter
            metrics=self.metrics,
        )


async def follow(url: str) -> None:
    """Follow, tell how the load went, then when each key named on standard input is gone."""
    follower = Follower(url)
    began, longest = time.perf_counter(), 0.0
    feed = asyncio.create_task(follower.feed.run())
    last = time.perf_counter()
    while b"authz_key_store_up 1.0" not in follower.metrics.exposition():
        for _ in range(50):
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        last = time.perf_counter()
    tell({"seconds": time.perf_counter() - began, "longest_ms": longest * 1000})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).strip():
        while isinstance(follower.index.find(line), ApiKeyRecord):  # noqa: ASYNC110 - as a client
            await asyncio.sleep(0.0005)
        tell({"at_ns": time.monotonic_ns()})  # one clock for all processes
    feed.cancel()
    await asyncio.wait([feed])


def tell(values: dict[str, float]) -> None:
    """A line for the process that asked."""
    print(json.dumps(values), flush=True)


@asynccontextmanager
async def follower(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that follows."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, FOLLOWER, url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> dict[str, float]:
    """The next line of a process."""
    if process.stdout is None:
        raise RuntimeError("no pipe")
    answer: dict[str, float] = json.loads(await process.stdout.readline())
    return answer


async def fill(store: KeyStore, count: int) -> None:
    """Write so many keys."""
    for start in range(0, count, BATCH):
        await store.apply([KeyChange(None, record(n)) for n in range(start, start + BATCH)])


async def revoke(
    store: KeyStore, processes: Sequence[asyncio.subprocess.Process], number: int
) -> float:
    """Milliseconds from asking for a revocation until the last process knows of it."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.write(secret(number) + b"\n")
    await asyncio.sleep(0.005 + 0.02 * (number % 7))  # at any moment of their waiting
    began = time.monotonic_ns()  # one clock for all processes
    await store.apply([KeyChange(record(number), None)])
    ends = [await told(process) for process in processes]
    return (max(end["at_ns"] for end in ends) - began) / 1e6


async def measure_store(count: int, revocations: int) -> None:
    """Print what a real store costs."""
    with valkey() as socket:
        url = f"unix://{socket}"
        store = key_store_from_url(url)
        await fill(store, count)
        async with follower(url) as one, follower(url) as two:
            for process in (one, two):
                load = await told(process)
                print(
                    f"loading {count} keys: {load['seconds']:.1f} s,"
                    f" no check waits longer than {load['longest_ms']:.1f} ms"
                )
            waits = [await revoke(store, (one, two), number) for number in range(revocations)]
        cuts = statistics.quantiles(waits, n=100)
        print(
            f"{revocations} revocations known to both processes: p50 {cuts[49]:.1f} ms,"
            f" p99 {cuts[98]:.1f} ms, longest {max(waits):.1f} ms"
        )
        await store.close()


def measure_making() -> None:
    """Print what a key of our own costs to make."""
    began = time.perf_counter_ns()
    for _ in itertools.repeat(None, 10_000):
        make_key("live", random_bytes=secrets.token_bytes)
    print(f"making a key: {(time.perf_counter_ns() - began) / 1e7:.1f} µs")


if __name__ == "__main__":
    if sys.argv[1:2] == [FOLLOWER]:
        uvloop.run(follow(sys.argv[2]))
    else:
        given = [int(argument) for argument in sys.argv[1:]]
        measure_memory()
        measure_making()
        uvloop.run(measure_store(given[0] if given else 100_000, given[1] if given[1:] else 200))
