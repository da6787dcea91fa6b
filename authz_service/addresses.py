"""Addresses as people write them: `HOST:PORT`, `[IPv6]:PORT`, `unix:PATH`. Resolves nothing.

What is no such address is a `ValueError`, whose text ends a sentence that begins with the address.
"""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

MAX_PORT: Final = 65_535

# What `sun_path` of unix(7) holds besides its final NUL.
_SOCKET_PATH_BYTES: Final = 107
_LONGEST_NAME: Final = "/envoy-admin.sock"

# RFC 1123 section 2.1, and `_` for the names of container networks. The last label is not all
# digits: otherwise 256.0.0.1 would be a name.
_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[\w-]{1,63}\.)*(?!\d+\Z)[\w-]{1,63}", re.ASCII)
_UNIX: Final = "unix:"
# gRPC reads a socket's address as a URI (RFC 3986), in which these mean something else.
_NOT_IN_A_PATH: Final = frozenset("%#?")


@dataclass(frozen=True, slots=True)
class HostAndPort:
    """A host, an IPv6 address without brackets, and a port. Its text has the brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `127.0.0.1:8080`, `[::1]:8080` or `app:8080`.

        Raises:
            ValueError: it is none of these.
        """
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        is_host = bracketed is (":" in bare) and (is_ip(bare) or _NAME.fullmatch(bare))
        if not is_host or not is_port(port):
            raise ValueError("is not HOST:PORT")
        return cls(bare, int(port))


def is_port(text: str) -> bool:
    """Whether a text is a port in decimal; 0 is the one that the system chooses."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and int(text) <= MAX_PORT


def is_ip(host: str) -> bool:
    """Whether a host without brackets is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def ip(text: str) -> str:
    """An IP address, without the brackets that IPv6 may have.

    Raises:
        ValueError: it is something else.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not is_ip(bare):
        raise ValueError("is no IP address")
    return bare


def destination(text: str) -> HostAndPort:
    """`HOST:PORT` to connect to, so that the port is not 0.

    Raises:
        ValueError: it is something else.
    """
    address = HostAndPort.parse(text)
    if address.port == 0:
        raise ValueError("has port 0, where nobody can be found")
    return address


def grpc_address(text: str) -> str:
    """`unix:PATH`, made absolute, or `HOST:PORT`, as gRPC takes it.

    Raises:
        ValueError: it is neither, or no gRPC server can be found there.
    """
    if text.startswith(_UNIX) and text != _UNIX:
        return f"{_UNIX}{socket_path(Path(text.removeprefix(_UNIX)))}"
    try:
        address = HostAndPort.parse(text)
    except ValueError:
        raise ValueError("is neither unix:PATH nor HOST:PORT") from None
    return str(destination(str(address)))


def socket_path(path: Path) -> Path:
    """The absolute path of a Unix socket.

    Raises:
        ValueError: it is too long, or gRPC would misread it.
    """
    return _absolute(path, room=_SOCKET_PATH_BYTES)


def run_folder(path: Path) -> Path:
    """The absolute path of a folder that has room for the names of the stack's sockets.

    Raises:
        ValueError: it is too long, or gRPC would misread it.
    """
    return _absolute(path, room=_SOCKET_PATH_BYTES - len(_LONGEST_NAME))


def _absolute(path: Path, *, room: int) -> Path:
    absolute = path.absolute()
    if len(os.fsencode(absolute)) > room:
        raise ValueError(f"is too long: a socket's path has {room} bytes left for {absolute}")
    if not _NOT_IN_A_PATH.isdisjoint(str(absolute)):
        raise ValueError("holds one of % # ?, which the address of a socket cannot")
    return absolute
