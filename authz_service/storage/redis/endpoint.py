"""Where a Redis server is and how to log in, read from a URL. Opens nothing but TLS files."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from authz_service.errors import ConfigurationError

DEFAULT_PORT: Final = 6379
_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db"}) | _TLS_OPTIONS,
    "unix": frozenset({"db"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One Redis server: a socket path, or a host and port with or without TLS.

    Its text names the place and never the password.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"


def parse_endpoint(url: str) -> Endpoint:
    """Read `redis://`, `rediss://` (TLS) or `unix://` as redis-py spells them, but strictly.

    Raises:
        ConfigurationError: every problem found. No text quotes the URL: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError([_MALFORMED]) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    problems = [*_place_problems(parts), *_option_problems(parts.scheme, options)]
    database = _database(parts, options)
    if database is None:
        problems.append("store URL: the database is a number, as in redis://host:6379/0")
    if problems or database is None:
        raise ConfigurationError(problems)
    return Endpoint(
        host=parts.hostname or "",
        port=DEFAULT_PORT if port is None else port,
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=database,
        tls=_tls_context(options) if parts.scheme == "rediss" else None,
    )


_MALFORMED: Final = (
    "store URL: not of the form redis://user:password@host:port/database; "
    "percent-encode special characters in the user and password"
)


def _place_problems(parts: SplitResult) -> list[str]:
    problems = []
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hostname:
            problems.append("store URL: a socket is an absolute path, as in unix:///run/redis.sock")
    elif not parts.hostname:
        problems.append("store URL: names no host, as in redis://redis.example:6379/0")
    if parts.fragment:
        problems.append(_MALFORMED)
    if parts.username and not parts.password:
        problems.append("store URL: has a user but no password; a password alone is :password@host")
    return problems


def _option_problems(scheme: str, options: Mapping[str, str]) -> list[str]:
    known = _OPTIONS[scheme]
    problems = [
        f"store URL: {scheme}:// knows no such option; known are {', '.join(sorted(known))}"
        for name in options
        if name not in known
    ]
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        problems.append("store URL: ssl_keyfile needs ssl_certfile")
    return problems


def _database(parts: SplitResult, options: Mapping[str, str]) -> int | None:
    """Return the number of the database, None when what stands there is no number."""
    in_path = "" if parts.scheme == "unix" else parts.path.removeprefix("/")
    text = options.get("db", in_path or "0")
    return int(text) if text.isascii() and text.isdigit() else None


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Build a context that verifies the server's certificate and name; there is no way around."""
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "not in PEM form"
        raise ConfigurationError([f"store URL: a TLS file cannot be used: {reason}"]) from error
    return context
