"""How a key store's server is reached, and what becomes of its errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
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
            StoreError: the password's file cannot be read, or is empty.
        """
        return cast("tuple[str] | tuple[str, str]", self._endpoint.credentials())


class KeyServer:
    """One server, connected to when it is first asked. Nothing is tried twice.

    `timeout_s` bounds every question, the way to the server included.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        # What redis-py declares replies to be covers all the protocols and decodings it knows;
        # here they are always RESP2 and bytes.
        self.client: Any = Redis.from_pool(_pool(endpoint))

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[Any]:
        """The client, for one question. What goes wrong with it becomes `StoreError`.

        The error holds nothing that the server said: a reply may quote what was sent, and that may
        be a password.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                yield self.client
        except (RedisError, OSError, UnicodeError) as error:
            if isinstance(error.__cause__, StoreError):  # from reading the password
                raise error.__cause__ from None
            raise StoreError(f"the key store at {self._endpoint} {_told(error)}") from None
        except (ValueError, TypeError, LookupError, AttributeError):
            raise StoreError(f"the key store at {self._endpoint} answered nonsense") from None

    async def close(self) -> None:
        """Let go of every connection."""
        await self.client.aclose(close_connection_pool=True)


def _pool(endpoint: Endpoint) -> ConnectionPool:
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
    return ConnectionPool(
        connection_class=kind,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **place,
        db=endpoint.database,
        credential_provider=_Credentials(endpoint) if has_login else None,
        protocol=2,
        driver_info=None,
        retry=Retry(NoBackoff(), 0),
        # redis-py keeps time with `asyncio.wait_for`, which on Python 3.11 may lose a cancellation
        # (python/cpython#86296); `KeyServer.asked` does it instead.
        socket_timeout=None,
        socket_connect_timeout=None,
    )


def _told(error: Exception) -> str:
    """What went wrong, by the name of the error alone."""
    first = error.__cause__ if isinstance(error.__cause__, RedisError) else error
    what = (
        "refused" if isinstance(first, ResponseError | AuthenticationError) else "does not answer"
    )
    return f"{what}: {type(first).__name__}"
