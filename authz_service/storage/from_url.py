"""Which store a URL means: of counters, or of keys."""

from collections.abc import Callable
from typing import Final

from authz_service.clock import Clock
from authz_service.errors import ConfigurationError
from authz_service.identity.key_changes import KeyChanges, UseLog
from authz_service.identity.key_store import KeyStore
from authz_service.storage.base import CounterStore
from authz_service.storage.keys.changes import RedisKeyChanges
from authz_service.storage.keys.client import KeyServer
from authz_service.storage.keys.store import RedisKeyStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.redis.endpoint import Target
from authz_service.storage.redis.script import counting_scripts
from authz_service.storage.redis.servers import server_at
from authz_service.storage.redis.store import RedisStore
from authz_service.storage.redis.url import ALL_FORMS, parse_endpoint, parse_url

DEFAULT_TIMEOUT_MS: Final = 25


def store_from_url(
    url: str, *, clock: Clock, random: Callable[[], float], timeout_ms: int = DEFAULT_TIMEOUT_MS
) -> CounterStore:
    """Build the store for `memory://` or a shared one, see `docs/limits.md`. Connects to nothing.

    `random` returns numbers in [0, 1). `timeout_ms` bounds every wait for the server.

    Raises:
        ConfigurationError: every problem found, without quoting the URL: it may hold a password.
    """
    target = _target(url)
    if target is None:
        return MemoryStore(clock)
    server = server_at(target, clock=clock, random=random, timeout_s=timeout_ms / 1000)
    return RedisStore(server, scripts=counting_scripts(), clock=clock)


def store_url_problems(url: str) -> tuple[str, ...]:
    """Everything that is wrong with a URL, without quoting it. Opens nothing but files it names."""
    try:
        _target(url)
    except ConfigurationError as error:
        return error.problems
    return ()


def key_store_from_url(url: str) -> KeyStore:
    """Build the key store at `redis://`, `rediss://` or `unix://`. Connects to nothing.

    Raises:
        ConfigurationError: every problem found, without quoting the URL: it may hold a password.
    """
    return RedisKeyStore(KeyServer(parse_endpoint(url)))


def use_log_from_url(url: str) -> UseLog:
    """Build what notes uses of keys in the key store. Connects to nothing.

    Raises:
        ConfigurationError: every problem found, without quoting the URL.
    """
    return RedisKeyStore(KeyServer(parse_endpoint(url)))


def key_changes_from_url(url: str) -> KeyChanges:
    """Build what follows the key store. Connects to nothing.

    Raises:
        ConfigurationError: every problem found, without quoting the URL.
    """
    return RedisKeyChanges(KeyServer(parse_endpoint(url)))


def key_store_url_problems(url: str) -> tuple[str, ...]:
    """Everything that is wrong with a key store's URL, without quoting it."""
    try:
        parse_endpoint(url)
    except ConfigurationError as error:
        return error.problems
    return ()


def _target(url: str) -> Target | None:
    """Where the counters live, None for this process's memory."""
    scheme, separator, rest = url.partition("://")
    if scheme == "memory" and separator:
        if rest:
            raise ConfigurationError(["store URL: memory:// takes nothing after it"])
        return None
    return parse_url(url, known=f"memory://, {ALL_FORMS}")
