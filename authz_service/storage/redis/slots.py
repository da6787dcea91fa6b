"""Which node of a cluster serves a key, and how nodes say so. No I/O."""

from binascii import crc_hqx
from dataclasses import dataclass
from typing import Final

import hiredis

from authz_service.addresses import HostAndPort
from authz_service.errors import StoreError
from authz_service.storage.redis.places import read_place
from authz_service.storage.redis.replies import error_code

SLOTS: Final = 16_384
MAX_NODES: Final = 1_000  # as many as a cluster is made for
_LEAST_OF_A_RANGE: Final = 3  # its first slot, its last, its primary; replicas follow
_LEAST_OF_A_NODE: Final = 2  # where it is; its name and more follow
_WORDS_OF_A_REDIRECTION: Final = 3

Owners = tuple[HostAndPort | None, ...]
"""By slot, where its primary is; None where no node serves it."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """A node said: ask that one. `for_good` (`MOVED`), or this once (`ASK`)."""

    place: HostAndPort
    for_good: bool


def key_slot(key: bytes) -> int:
    """Return the slot of a key: of the text in its first braces if there is any."""
    _, opening, rest = key.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    return crc_hqx(tag if opening and closing and tag else key, 0) % SLOTS


def read_owners(reply: object, asked: HostAndPort) -> Owners | None:
    """Read what `CLUSTER SLOTS` answered; None if it makes no sense or names nobody.

    A node that does not know its own address leaves out the host: it is that of the node `asked`.
    A slot that stands in two ranges makes no sense, and bounds the work.
    """
    if not isinstance(reply, list) or not 0 < len(reply) <= SLOTS:
        return None
    owners: list[HostAndPort | None] = [None] * SLOTS
    for entry in reply:
        if not isinstance(entry, list) or len(entry) < _LEAST_OF_A_RANGE:
            return None
        first, last, node = entry[:_LEAST_OF_A_RANGE]
        place = _read_node(node, asked)
        if type(first) is not int or type(last) is not int or place is None:
            return None
        if not 0 <= first <= last < SLOTS or any(owners[first : last + 1]):
            return None
        owners[first : last + 1] = [place] * (last + 1 - first)
    return tuple(owners) if len(set(owners)) <= MAX_NODES else None


def read_redirection(reply: object, *, slot: int, asked: HostAndPort) -> Redirection | None:
    """Read `MOVED` or `ASK`; None for any other reply.

    Raises:
        StoreError: it is about another slot, or names no place.
    """
    if not isinstance(reply, hiredis.ReplyError):
        return None
    code = error_code(reply)
    if code not in ("MOVED", "ASK"):
        return None
    words = str(reply).split(" ")
    if len(words) == _WORDS_OF_A_REDIRECTION and words[1] == str(slot):
        host, _, port = words[2].rpartition(":")
        place = read_place(host.strip("[]") or asked.host, port)
        if place is not None:
            return Redirection(place, for_good=code == "MOVED")
    raise StoreError("a node of the counter store names nonsense as another")


def _read_node(node: object, asked: HostAndPort) -> HostAndPort | None:
    if not isinstance(node, list) or len(node) < _LEAST_OF_A_NODE:
        return None
    host, port = node[:_LEAST_OF_A_NODE]
    return read_place(asked.host if host in (None, b"") else host, port)
