"""A request as its client sends it, before Envoy has looked at it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from authz_service.errors import ConfigurationError

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

# RFC 3986 section 3.3. Anything else a client encodes or Envoy refuses.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*")
_QUERY = re.compile(r"[!-\"$-~]*")  # printable ASCII without #
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
# Surrogates that stand for a byte (PEP 383) are one; others are nothing that can be sent.
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udc7f\udd00-\udfff]*")

Header = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """What matters of a request. `query` and `headers` may hold credentials.

    `client_address` is the one that Envoy takes the client for.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: tuple[Header, ...] = field(repr=False)
    client_address: str

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header, by its lower-case name."""
        return tuple(value for given, value in self.headers if given == name)


def client_request(
    *, method: str, target: str, headers: tuple[Header, ...], client_address: str
) -> ClientRequest:
    """A request that can be sent. Header names become lower-case, values lose outer blanks.

    Raises:
        ConfigurationError: with everything that is wrong, without quoting what may be secret.
    """
    path, _, query = target.partition("?")
    lowered = tuple((name.lower(), value.strip(" \t")) for name, value in headers)
    problems = list(_problems(method, path, query, lowered, client_address))
    if problems:
        raise ConfigurationError(problems)
    return ClientRequest(
        method=method, path=path, query=query, headers=lowered, client_address=client_address
    )


def read_header(line: str) -> Header:
    """`Name: value`.

    Raises:
        ConfigurationError: there is no colon.
    """
    name, colon, value = line.partition(":")
    if not colon:
        raise ConfigurationError(["header: is not of the form 'Name: value'"])
    return name, value


def _problems(
    method: str, path: str, query: str, headers: tuple[Header, ...], client_address: str
) -> Iterator[str]:
    if method not in METHODS:
        yield f"method: is none of {', '.join(METHODS)}"
    if not _PATH.fullmatch(path):
        yield "path: begins with / and has other characters percent-encoded, as clients send them"
    if not _QUERY.fullmatch(query):
        yield "query: has blanks, # and other than ASCII percent-encoded, as clients send them"
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            yield "header: its name has a character that no name may have"
        elif not _HEADER_VALUE.fullmatch(value):
            yield f"header {name}: its value has a character that no value may have"
    try:
        ip_address(client_address)
    except ValueError:
        yield f"client address: {client_address!r} is no IP address"
