"""URLs of the one server that keeps jobs. Opens nothing but files that a URL names."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

DEFAULT_PORT: Final = 6379
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "redis": frozenset({"db", "password_file"}),
    "rediss": frozenset({"db", "password_file"}) | _TLS_OPTIONS,
    "unix": frozenset({"db", "password_file"}),
}
_FORM: Final = (
    "must be of the form redis://user:password@host:port/database, rediss://… (TLS) or "
    "unix:///path, with special characters in the user and password percent-encoded"
)
_SEVERAL: Final = "must name one server that keeps what it is told: no cluster, no sentinels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server: a socket path, or a host and port with or without TLS.

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
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"


def parse_url(url: str) -> Endpoint:
    """Read a URL: redis://, rediss:// or unix://.

    Raises:
        ValueError: it cannot be used. The text does not quote it: it may hold a password.
    """
    parts, port = _split(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - _OPTIONS[parts.scheme] or parts.fragment:
        known = ", ".join(sorted(_OPTIONS[parts.scheme]))
        raise ValueError(f"has an option that is not known; {parts.scheme}:// knows {known}")
    _check_place(parts)
    _check_login(parts, options)
    is_unix = parts.scheme == "unix"
    return Endpoint(
        host="" if is_unix else str(parts.hostname),
        port=DEFAULT_PORT if port is None else port,
        path=unquote(parts.path) if is_unix else "",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        password_file=options.get("password_file", ""),
        database=_database(options.get("db", "" if is_unix else parts.path.removeprefix("/"))),
        tls=_tls_context(options) if parts.scheme == "rediss" else None,
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    if "+" in url.partition("://")[0]:
        raise ValueError(_SEVERAL)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text quotes the URL
        raise ValueError(_FORM) from None
    if parts.scheme not in _OPTIONS or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(_FORM)
    return parts, port


def _check_place(parts: SplitResult) -> None:
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path.startswith("/"):
            raise ValueError("a socket is an absolute path, as in unix:///run/redis.sock")
    elif not parts.hostname:
        raise ValueError(_FORM)
    elif "," in parts.hostname:
        raise ValueError(_SEVERAL)


def _check_login(parts: SplitResult, options: Mapping[str, str]) -> None:
    file = options.get("password_file")
    if file is not None and parts.password:
        raise ValueError("has a password and a password_file; one of the two is enough")
    if file is not None and not Path(file).is_file():
        raise ValueError("the password_file is no file that is there")
    if parts.username and not parts.password and file is None:
        raise ValueError("has a user but no password; a password alone is :password@host")


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > len("16383"):
        raise ValueError("the database is a number, as in redis://host:6379/0")
    return int(text)


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Build a context that verifies the server's certificate; its name too, unless told not to."""
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    check_hostname = options.get("ssl_check_hostname", "true")
    if check_hostname not in {"true", "false"}:
        raise ValueError("ssl_check_hostname is true or false")
    # Any server that a public authority vouches for would do.
    if check_hostname == "false" and not options.get("ssl_ca_certs"):
        raise ValueError("ssl_check_hostname=false needs ssl_ca_certs, an authority of its own")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        context.check_hostname = check_hostname == "true"
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "not in PEM form"
        raise ValueError(f"a TLS file cannot be used: {reason}") from None
    return context
