"""URLs of Redis servers, sentinels and clusters. Opens nothing but files that a URL names."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from authz_service.addresses import HostAndPort
from authz_service.errors import ConfigurationError
from authz_service.storage.redis.endpoint import (
    DEFAULT_PORT,
    DEFAULT_SENTINEL_PORT,
    ClusterSeeds,
    Endpoint,
    SentinelService,
    Target,
)

_EVERYWHERE: Final = frozenset({"password_file"})
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_SENTINEL_OPTIONS: Final = frozenset({"db", "sentinel_username", "sentinel_password_file"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "redis": _EVERYWHERE | {"db"},
    "rediss": _EVERYWHERE | {"db"} | _TLS_OPTIONS,
    "unix": _EVERYWHERE | {"db"},
    "redis+sentinel": _EVERYWHERE | _SENTINEL_OPTIONS,
    "rediss+sentinel": _EVERYWHERE | _SENTINEL_OPTIONS | _TLS_OPTIONS,
    "redis+cluster": _EVERYWHERE,
    "rediss+cluster": _EVERYWHERE | _TLS_OPTIONS,
}
_FORMS: Final = {
    "": "redis://user:password@host:port/database",
    "sentinel": "redis+sentinel://user:password@host:port,host:port/SERVICE/database",
    "cluster": "redis+cluster://user:password@host:port,host:port",
}
_DEFAULT_PORTS: Final = {
    "": DEFAULT_PORT,
    "sentinel": DEFAULT_SENTINEL_PORT,
    "cluster": DEFAULT_PORT,
}
_SERVICE: Final = re.compile(r"[\w.-]+", re.ASCII)  # what Sentinel takes as a name

ALL_FORMS: Final = "redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://"
_SINGLE_FORMS: Final = "redis://, rediss:// (TLS) or unix://"


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL taken apart. Nothing of it is in a text that is shown."""

    scheme: str
    username: str
    password: str = field(repr=False)
    places: tuple[HostAndPort, ...]
    path: str
    options: Mapping[str, str]
    has_fragment: bool

    @property
    def is_tls(self) -> bool:
        return self.scheme.startswith("rediss")

    @property
    def topology(self) -> str:
        """Either `sentinel`, `cluster` or nothing: one server."""
        return self.scheme.partition("+")[2]


def parse_url(url: str, *, known: str = ALL_FORMS) -> Target:
    """Read any form of URL; the single ones as redis-py spells them, but strictly.

    `known` is what a URL of another form is told to begin with.

    Raises:
        ConfigurationError: every problem found. No text quotes the URL: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in _OPTIONS or not separator:
        raise _problems([f"must begin with {known}"])
    parts = _take_apart(scheme, rest)
    problems = [
        *_place_problems(parts),
        *_password_problems(parts),
        *_option_problems(parts),
        *_file_problems(parts.options),
    ]
    service, database = _service_and_database(parts)
    if database is None:
        problems.append("the database is a number, as in redis://host:6379/0")
    if problems or database is None:
        raise _problems(problems)
    login = Endpoint(
        username=parts.username,
        password=parts.password,
        password_file=parts.options.get("password_file", ""),
        database=database,
        tls=_tls_context(parts.options) if parts.is_tls else None,
    )
    return _target(parts, service, login)


def parse_endpoint(url: str) -> Endpoint:
    """Read the URL of one server.

    Raises:
        ConfigurationError: every problem found, without quoting the URL.
    """
    target = parse_url(url, known=_SINGLE_FORMS)
    if not isinstance(target, Endpoint):
        raise _problems([f"must name one server, by {_SINGLE_FORMS}: no sentinels, no cluster"])
    return target


def _problems(found: list[str]) -> ConfigurationError:
    return ConfigurationError([f"store URL: {problem}" for problem in found])


def _take_apart(scheme: str, rest: str) -> _Parts:
    """Split what follows `://`. By hand as far as the places: `urlsplit` knows only one."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user_and_password, _, places = authority.rpartition("@")
    username, _, password = user_and_password.partition(":")
    topology = scheme.partition("+")[2]
    try:
        tail = urlsplit("//" + rest[len(authority) :])
        found = tuple(_place(text, topology) for text in places.split(",") if places)
    except ValueError:
        raise _problems([_malformed(topology)]) from None
    return _Parts(
        scheme=scheme,
        username=unquote(username),
        password=unquote(password),
        places=found,
        path=tail.path,
        options=dict(parse_qsl(tail.query, keep_blank_values=True)),
        has_fragment=bool(tail.fragment),
    )


def _place(text: str, topology: str) -> HostAndPort:
    """Read a host and perhaps a port.

    Raises:
        ValueError: it is neither.
    """
    parts = urlsplit(f"//{text}")
    port = parts.port
    return HostAndPort(parts.hostname or "", _DEFAULT_PORTS[topology] if port is None else port)


def _malformed(topology: str) -> str:
    return (
        f"not of the form {_FORMS[topology]}; "
        "percent-encode special characters in the user and password"
    )


def _place_problems(parts: _Parts) -> list[str]:
    problems = []
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.places:
            problems.append("a socket is an absolute path, as in unix:///run/redis.sock")
    elif not parts.places or not all(place.host for place in parts.places):
        problems.append(f"names no host, as in {_FORMS[parts.topology]}")
    elif len(parts.places) > 1 and not parts.topology:
        problems.append("names more than one host; see redis+sentinel:// and redis+cluster://")
    if parts.topology == "cluster" and parts.path.strip("/"):
        problems.append("a cluster has no databases")
    if parts.topology == "sentinel" and not _SERVICE.fullmatch(_sentinel_path(parts)[0]):
        problems.append("names no service of the sentinels, as in " + _FORMS["sentinel"])
    if parts.has_fragment:
        problems.append(_malformed(parts.topology))
    return problems


def _password_problems(parts: _Parts) -> list[str]:
    problems = []
    has_file = "password_file" in parts.options
    if has_file and parts.password:
        problems.append("has a password and a password_file; one of the two is enough")
    if parts.username and not parts.password and not has_file:
        problems.append("has a user but no password; a password alone is :password@host")
    if "sentinel_username" in parts.options and "sentinel_password_file" not in parts.options:
        problems.append("sentinel_username needs sentinel_password_file")
    return problems


def _option_problems(parts: _Parts) -> list[str]:
    known = _OPTIONS[parts.scheme]
    problems = [
        f"{parts.scheme}:// knows no such option; known are {', '.join(sorted(known))}"
        for name in parts.options
        if name not in known
    ]
    if "ssl_keyfile" in parts.options and "ssl_certfile" not in parts.options:
        problems.append("ssl_keyfile needs ssl_certfile")
    check_hostname = parts.options.get("ssl_check_hostname", "true")
    if check_hostname not in {"true", "false"}:
        problems.append("ssl_check_hostname is true or false")
    # Any server that a public authority vouches for would do.
    if check_hostname == "false" and not parts.options.get("ssl_ca_certs"):
        problems.append("ssl_check_hostname=false needs ssl_ca_certs, an authority of its own")
    return problems


def _file_problems(options: Mapping[str, str]) -> list[str]:
    """See that password files are there. What is in them is read at every log-in."""
    return [
        f"the {name} is no file that is there"
        for name in ("password_file", "sentinel_password_file")
        if name in options and not Path(options[name]).is_file()
    ]


def _sentinel_path(parts: _Parts) -> tuple[str, str]:
    service, _, database = parts.path.removeprefix("/").partition("/")
    return unquote(service), database


def _service_and_database(parts: _Parts) -> tuple[str, int | None]:
    """Return both; the database is None when what stands there is no number."""
    service, in_path = "", parts.path.removeprefix("/")
    if parts.topology == "sentinel":
        service, in_path = _sentinel_path(parts)
    elif parts.topology == "cluster" or parts.scheme == "unix":
        in_path = ""
    text = parts.options.get("db", in_path or "0")
    return service, int(text) if text.isascii() and text.isdigit() else None


def _target(parts: _Parts, service: str, login: Endpoint) -> Target:
    if parts.scheme == "unix":
        return replace(login, path=unquote(parts.path))
    if parts.topology == "cluster":
        return ClusterSeeds(seeds=tuple(map(login.at, parts.places)))
    if not parts.topology:
        return login.at(parts.places[0])
    sentinel = Endpoint(
        username=parts.options.get("sentinel_username", ""),
        password_file=parts.options.get("sentinel_password_file", ""),
        tls=login.tls,
    )
    sentinels = tuple(map(sentinel.at, parts.places))
    return SentinelService(sentinels=sentinels, service=service, primary=login)


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Build a context that verifies the server's certificate; its name too, unless told not to."""
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        context.check_hostname = options.get("ssl_check_hostname") != "false"
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "not in PEM form"
        raise _problems([f"a TLS file cannot be used: {reason}"]) from error
    return context
