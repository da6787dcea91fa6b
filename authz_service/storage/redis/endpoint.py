"""Where Redis servers are and how to log in. Opens nothing but a password's file."""

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from authz_service.addresses import HostAndPort
from authz_service.errors import StoreError

DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One Redis server: a socket path, or a host and port with or without TLS.

    The password stands in `password`, or in a file that is read again for every log-in. The text
    of an endpoint names the place and never the password.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    database: int = 0
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"{self._scheme}://{self.place}/{self.database}"

    @property
    def place(self) -> HostAndPort:
        """The host and the port."""
        return HostAndPort(self.host, self.port)

    def at(self, place: HostAndPort) -> Self:
        """The same log-in somewhere else."""
        return replace(self, host=place.host, port=place.port)

    def credentials(self) -> tuple[str, ...]:
        """What `AUTH` takes: a password, or a user and a password; empty where there is none.

        Raises:
            StoreError: the password's file cannot be read, or is empty.
        """
        password = read_password(self.password_file) if self.password_file else self.password
        if not password:
            return ()
        return (self.username, password) if self.username else (password,)

    @property
    def _scheme(self) -> str:
        return "redis" if self.tls is None else "rediss"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelService:
    """A primary that sentinels know the place of. They have a log-in of their own, or none."""

    sentinels: tuple[Endpoint, ...]
    service: str
    primary: Endpoint
    """How to log in to the primary; its place is the sentinels' to say."""

    def __str__(self) -> str:
        scheme = "redis" if self.primary.tls is None else "rediss"
        database = self.primary.database
        return f"{scheme}+sentinel://{_places(self.sentinels)}/{self.service}/{database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSeeds:
    """Some nodes of a cluster. The others, which they name, are logged in to alike."""

    seeds: tuple[Endpoint, ...]

    def __str__(self) -> str:
        scheme = "redis" if self.seeds[0].tls is None else "rediss"
        return f"{scheme}+cluster://{_places(self.seeds)}"


Target = Endpoint | SentinelService | ClusterSeeds
"""What a URL of a shared store names."""


def read_password(file: str) -> str:
    """Return the text of a file without the line's end.

    Raises:
        StoreError: it cannot be read, is no text, or is empty.
    """
    try:
        password = Path(file).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise StoreError(f"the store's password file cannot be read: {error.strerror}") from None
    except ValueError:
        raise StoreError("the store's password file is not UTF-8") from None
    if not password:
        raise StoreError("the store's password file is empty")
    return password


def _places(endpoints: tuple[Endpoint, ...]) -> str:
    return ",".join(str(endpoint.place) for endpoint in endpoints)
