"""Every kind of store behind one face, with its clock and its contents in a test's hands."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, Self, cast

from authz_service.clock import Clock
from authz_service.storage.base import CounterStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.redis.script import Script, Scripts, counting_scripts
from authz_service.storage.redis.servers import server_at
from authz_service.storage.redis.store import RedisStore
from authz_service.storage.redis.url import parse_url
from authz_service.testing.clock import ManualClock
from tests.conformance.storage.server import Server

if TYPE_CHECKING:
    import redis

START_MS = 1_906_761_600_000
"""Tuesday, 4 June 2030, 00:00 UTC. In the future, so that no server drops a counter on its own."""

_CLOCK_LINE = "local time = redis.call('TIME')\n"
CLOCK_KEY = "test-clock"
# A node of a cluster holds one of the keys and refuses to look at the others.
_CLOCK_FROM_KEYS = """
local time
for _, key in ipairs({'%s'}) do
  local text = redis.pcall('GET', key)
  if type(text) == 'string' then time = {string.match(text, '(%%d+):(%%d+)')} end
end
"""
GENEROUS_TIMEOUT_S = 5.0  # a busy test machine is no failure of the store


def scripts_on_test_clock(*keys: str) -> Scripts:
    """Return the shipped scripts with the one line that asks the time replaced."""
    shipped = counting_scripts()
    each = (shipped.charge, shipped.hit, shipped.refund)
    return Scripts(*(_on_test_clock(script, keys) for script in each))


def _on_test_clock(script: Script, keys: tuple[str, ...]) -> Script:
    assert script.text.count(_CLOCK_LINE) == 1
    return Script.from_text(script.text.replace(_CLOCK_LINE, _CLOCK_FROM_KEYS % "','".join(keys)))


def redis_store(url: str, *, clock: Clock, scripts: Scripts | None = None) -> RedisStore:
    """Build a store that waits long enough for a busy machine."""
    server = server_at(
        parse_url(url), clock=clock, random=lambda: 0.0, timeout_s=GENEROUS_TIMEOUT_S
    )
    return RedisStore(server, scripts=scripts or counting_scripts(), clock=clock)


class Bench(Protocol):
    """A store under test."""

    clock: ManualClock

    @property
    def stores(self) -> list[CounterStore]:
        """Several callers' stores over the same counters; one where there is only one process."""

    def contents(self) -> dict[str, tuple[object, int]]:
        """Everything kept: by key, the value and the moment it expires."""

    def log_entries(self) -> int:
        """Return the length of the longest log, counting entries that are dead but kept."""


class MemoryBench:
    """The store in this process."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self._store = MemoryStore(self.clock)

    @property
    def stores(self) -> list[CounterStore]:
        """There is one process."""
        return [self._store]

    def contents(self) -> dict[str, tuple[object, int]]:
        """What the store holds."""
        store = self._store
        held: dict[bytes, object] = {**store._logs, **store._buckets, **store._tallies}
        counters = {str(key): (held[key], at) for key, at in store._expires_ms.items()}
        answers = store._answers._answers | store._hit_answers._answers
        return counters | {str(key): (it.answer, it.given_ms) for key, it in answers.items()}

    def log_entries(self) -> int:
        """A log in memory is a tuple."""
        return max(map(len, self._store._logs.values()))


class ServerClock(ManualClock):
    """The clock of this process and of servers at once: each server's under a key of its own."""

    def __init__(self, servers: "Mapping[str, redis.Redis]") -> None:
        super().__init__(START_MS)
        self._servers = servers
        self.publish()

    def publish(self) -> None:
        """Tell the servers what time it is."""
        seconds, milliseconds = divmod(self.now_ms(), 1000)
        for key, admin in self._servers.items():
            admin.set(key, f"{seconds}:{milliseconds * 1000 + 999}")

    def advance(self, elapsed_ms: int) -> None:
        """Let time pass on both."""
        super().advance(elapsed_ms)
        self.publish()

    def step_back(self, by_ms: int) -> None:
        """Set both back."""
        super().step_back(by_ms)
        self.publish()


class ServerBench:
    """Stores over servers whose script reads the time from a key.

    `servers` are those that count, by the key that each of them has for its clock.
    """

    def __init__(self, url: str, servers: "Mapping[str, redis.Redis]") -> None:
        for admin in servers.values():
            admin.flushall()
        self._servers = servers
        self.clock: ManualClock = ServerClock(servers)
        scripts = scripts_on_test_clock(*servers)
        self._stores = [redis_store(url, clock=self.clock, scripts=scripts) for _ in range(4)]

    @classmethod
    def over(cls, server: Server) -> Self:
        """Make a bench over a single server."""
        return cls(server.url, {CLOCK_KEY: server.admin})

    @property
    def stores(self) -> list[CounterStore]:
        """Four connections, as of four processes."""
        return list(self._stores)

    def contents(self) -> dict[str, tuple[object, int]]:
        """What the servers hold, byte by byte."""
        return {
            str(key): (admin.get(key), admin.pexpiretime(key))
            for admin, key in self._keys("authz:*")
        }

    def log_entries(self) -> int:
        """A log on a server is 8 bytes and then 4 an entry."""
        logs = self._keys("authz:*:rate:*")
        return max((admin.strlen(key) - 8) // 4 for admin, key in logs)

    def _keys(self, pattern: str) -> "Iterator[tuple[redis.Redis, str]]":
        for admin in self._servers.values():
            for key in cast("list[str]", admin.keys(pattern)):
                yield admin, key


@asynccontextmanager
async def opened(make: Callable[[], Bench]) -> AsyncIterator[Bench]:
    """Make a bench and close its stores in the end."""
    bench = make()
    try:
        yield bench
    finally:
        for store in bench.stores:
            await store.close()
