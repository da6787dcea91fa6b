"""Where servers say that servers are, believed only as far as it makes sense. No I/O."""

import re
from typing import Final

import hiredis

from authz_service.addresses import MAX_PORT, HostAndPort
from authz_service.errors import StoreError
from authz_service.storage.redis.replies import error_code

# A name or an address, IPv6 with its scope: nothing that could not stand in a log.
_HOST: Final = re.compile(r"[\w.:%-]{1,255}", re.ASCII)
_NAMED: Final = 2
_DIGITS: Final = 5


def read_place(host: object, port: object) -> HostAndPort | None:
    """Read a host and a port as they stand in a reply; None if they are none."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        return None
    if isinstance(port, str | bytes) and port.isdigit() and port.isascii() and len(port) <= _DIGITS:
        port = int(port)
    if type(port) is not int or not 0 < port <= MAX_PORT:
        return None
    return HostAndPort(host, port)


def read_named_place(reply: object) -> HostAndPort | None:
    """Read what a sentinel answered; None if it names nobody."""
    if isinstance(reply, list) and len(reply) == _NAMED:
        return read_place(*reply)
    return None


def check_primary(reply: object) -> None:
    """See that `ROLE` was answered by a primary.

    Raises:
        StoreError: it was not.
    """
    if isinstance(reply, hiredis.ReplyError):
        raise StoreError(f"the counter store refused ROLE: {error_code(reply)}")
    if not isinstance(reply, list) or not reply or reply[0] != b"master":
        raise StoreError("the server that the sentinels name is no primary")
