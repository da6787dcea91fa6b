"""Calls a second, and CPU of one call, with 1, 2, 5 and 10 counters of different subjects.

PYTHONPATH=. python bench/hits.py starts Valkey, and then a cluster of six nodes, and counts
requests as `ShouldRateLimit` makes them: 1,000 a minute for each of 2,000 subjects, so that all
pass unless there are very many.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator

import redis
import uvloop
from store import own_cpu_s, server_cpu_s, valkey

from authz_service.clock import SystemClock
from authz_service.core.hits import Fixed, Hit
from authz_service.core.rules import Rate
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import store_from_url
from tests.servers.cluster import ClusterServers

SIZES = (1, 2, 5, 10)
SUBJECTS = 2_000
LIMITS: dict[str, Rate | Fixed] = {
    "exact": Rate(name="minute", limit=1_000, window_ms=60_000),
    "fixed": Fixed(name="minute", limit=1_000, window_ms=60_000),
}


def requests(limit: Rate | Fixed, size: int) -> Iterator[tuple[Hit, ...]]:
    """Requests without end, each of as many subjects, none twice."""
    subjects = itertools.cycle(f"ip_{number:05d}" for number in range(SUBJECTS))
    while True:
        yield tuple(Hit(next(subjects), limit) for _ in range(size))


async def ask_all(store: CounterStore, asked: Iterator[tuple[Hit, ...]]) -> None:
    """One request after the other until there are no more."""
    for hits in asked:
        await store.hit(hits)


async def measure(url: str, admins: "list[redis.Redis]", *, count: int, in_flight: int) -> None:
    """Print the rows of one set-up."""
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=5_000)
    await store.connect()
    for (name, limit), size in itertools.product(LIMITS.items(), SIZES):
        for admin in admins:
            admin.flushall()
        await ask_all(store, itertools.islice(requests(limit, size), 200))
        asked = itertools.islice(requests(limit, size), count)
        own, server = own_cpu_s(), sum(map(server_cpu_s, admins))
        began = time.perf_counter()
        await asyncio.gather(*(ask_all(store, asked) for _ in range(in_flight)))
        elapsed = time.perf_counter() - began
        own_us = (own_cpu_s() - own) / count * 1e6
        server_us = (sum(map(server_cpu_s, admins)) - server) / count * 1e6
        print(f"{name:>9}{size:>9}{own_us:>12.1f}{server_us:>12.1f}{count / elapsed:>12.0f}")
    await store.close()


async def main(count: int, in_flight: int) -> None:
    """Print both tables."""
    head = " counting counters   python us   server us   calls a s"
    with valkey() as socket, redis.Redis(unix_socket_path=str(socket)) as admin:
        print(f"one server\n{head}")
        await measure(f"unix://{socket}", [admin], count=count, in_flight=in_flight)
    with ClusterServers() as cluster:
        print(f"six nodes, three of them primaries\n{head}")
        admins = [cluster.nodes[port].admin for port in cluster.primaries()]
        await measure(cluster.url, admins, count=count, in_flight=in_flight)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000, help="calls of one row (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=32, help="at a time (%(default)s)")
    options = parser.parse_args()
    uvloop.run(main(options.calls, options.in_flight))
