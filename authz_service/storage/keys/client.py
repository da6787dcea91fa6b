"""How a key store's server is reached, and what becomes of its errors."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from authz_service.errors import StoreError
from authz_service.storage.redis.endpoint import Endpoint

DEFAULT_TIMEOUT_S: Final = 1.0


class _TlsConnection(Connection):
    """A connection under a TLS context that exists already."""

    def __init__(self, *, context: ssl.SSLContext, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**rest)
        self._context = context

    def _connection_arguments(self) -> Mapping[str, object]:
        return {**super()._connection_arguments(), "ssl": self._context}


def client(endpoint: Endpoint, *, timeout_s: float) -> Any:  # noqa: ANN401 - see below
    """A client that connects when it is first used, says nothing of itself and tries nothing twice.

    `timeout_s` bounds every wait for the server. What redis-py declares a reply to be covers every
    protocol and decoding it knows; here it is always RESP2 and bytes.
    """
    kind: type[Any]
    place: dict[str, Any]
    if endpoint.path:
        kind, place = UnixDomainSocketConnection, {"path": endpoint.path}
    elif endpoint.tls is None:
        kind, place = Connection, {"host": endpoint.host, "port": endpoint.port}
    else:
        kind = _TlsConnection
        place = {"host": endpoint.host, "port": endpoint.port, "context": endpoint.tls}
    pool = ConnectionPool(
        connection_class=kind,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **place,
        db=endpoint.database,
        username=endpoint.username or None,
        password=endpoint.password or None,
        protocol=2,
        driver_info=None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


@contextmanager
def own_errors(endpoint: Endpoint) -> Iterator[None]:
    """Turn what redis-py raises into `StoreError`, without a word of what the server says.

    An error reply may quote what was sent, and that may be a password.
    """
    try:
        yield
    except (ResponseError, AuthenticationError) as error:
        raise StoreError(f"the key store at {endpoint} refused: {_code(error)}") from None
    except (RedisError, OSError, TimeoutError, UnicodeError) as error:
        reason = type(error).__name__
        raise StoreError(f"the key store at {endpoint} does not answer: {reason}") from None
    except (ValueError, TypeError, LookupError, AttributeError):
        raise StoreError(f"the key store at {endpoint} answered nonsense") from None


def _code(error: RedisError) -> str:
    """The first word of an error reply, where it is a code."""
    code = str(error).partition(" ")[0]
    return code if code.isascii() and code.isalpha() and code.isupper() else type(error).__name__
