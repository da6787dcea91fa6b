"""Which counter store a URL means."""

from collections.abc import Callable
from typing import Final

from authz_service.clock import Clock
from authz_service.errors import ConfigurationError
from authz_service.storage.base import CounterStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.redis.backoff import Backoff
from authz_service.storage.redis.connection import Connection
from authz_service.storage.redis.endpoint import parse_endpoint
from authz_service.storage.redis.store import RedisStore, charge_script

DEFAULT_TIMEOUT_MS: Final = 25


def store_from_url(
    url: str, *, clock: Clock, random: Callable[[], float], timeout_ms: int = DEFAULT_TIMEOUT_MS
) -> CounterStore:
    """Build the store for `memory://`, `redis://`, `rediss://` or `unix://`. Connects to nothing.

    `random` returns numbers in [0, 1). `timeout_ms` bounds every wait for the server.

    Raises:
        ConfigurationError: every problem found, without quoting the URL: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "memory" and separator:
        if rest:
            raise ConfigurationError(["store URL: memory:// takes nothing after it"])
        return MemoryStore(clock)
    if scheme not in ("redis", "rediss", "unix") or not separator:
        raise ConfigurationError(
            ["store URL: must begin with memory://, redis://, rediss:// (TLS) or unix://"]
        )
    connection = Connection(
        parse_endpoint(url),
        clock=clock,
        backoff=Backoff(random=random),
        timeout_s=timeout_ms / 1000,
    )
    return RedisStore(connection, script=charge_script(), clock=clock)
