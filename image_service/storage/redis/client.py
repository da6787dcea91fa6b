"""How the server is reached, and what becomes of its errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from image_service.errors import StoreError
from image_service.storage.redis.url import Endpoint, parse_url

TIMEOUT_S: Final = 2.0
_MAX_CONNECTIONS: Final = 128
"""More than a worker has slots: each of them holds one while it waits for work."""


class _TlsConnection(Connection):
    """A connection under a TLS context that exists already."""

    def __init__(self, *, context: ssl.SSLContext, **rest: Any) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(**rest)
        self._context = context

    def _connection_arguments(self) -> Mapping[str, object]:
        return {**super()._connection_arguments(), "ssl": self._context}


class _Credentials(CredentialProvider):
    """What is asked at every log-in, so that a password in a file may change."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """As `get_credentials`."""
        return self.get_credentials()

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The password, after the user's name if there is one.

        Raises:
            AuthenticationError: the password's file cannot be read.
        """
        endpoint = self._endpoint
        password = endpoint.password
        if endpoint.password_file:
            try:
                password = Path(endpoint.password_file).read_text("utf-8").rstrip("\r\n")
            except (OSError, ValueError):
                raise AuthenticationError("the password file cannot be read") from None
        return (endpoint.username, password) if endpoint.username else (password,)


def open_client(url: str) -> Redis:
    """A client for one server: connected when first used, nothing tried twice, replies in bytes.

    Connecting takes two seconds at most. A question has no end of its own, as some wait for work:
    put it into `answered`.

    Raises:
        ValueError: the URL cannot be used. The text does not quote it: it may hold a password.
    """
    endpoint = parse_url(url)
    kind: type[Any]
    place: dict[str, Any]
    if endpoint.path:
        kind, place = UnixDomainSocketConnection, {"path": endpoint.path}
    elif endpoint.tls is None:
        kind, place = Connection, {"host": endpoint.host, "port": endpoint.port}
    else:
        kind = _TlsConnection
        place = {"host": endpoint.host, "port": endpoint.port, "context": endpoint.tls}
    has_login = bool(endpoint.password or endpoint.password_file)
    pool = BlockingConnectionPool(
        connection_class=kind,
        max_connections=_MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **place,
        db=endpoint.database,
        credential_provider=_Credentials(endpoint) if has_login else None,
        protocol=2,
        driver_info=None,
        # A step of the job store that went unanswered is the caller's to repeat, who knows which
        # of them may be.
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=None,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def answered() -> AsyncIterator[None]:
    """Questions to the server, two seconds for all. What goes wrong becomes `StoreError`.

    The error holds nothing that the server said: a reply may quote what was sent, and that may be
    a password.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (RedisError, OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise StoreError(f"the job store {_told(error)}") from None
    except (ValueError, TypeError, LookupError, AttributeError):
        raise StoreError("the job store answered nonsense") from None


def _told(error: Exception) -> str:
    """What went wrong, by the name of the error alone."""
    refused = isinstance(error, ResponseError | AuthenticationError)
    return f"{'refused' if refused else 'does not answer'}: {type(error).__name__}"
