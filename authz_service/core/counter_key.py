"""The names of counters in a shared store, and of the answers remembered beside them.

`authz:{1:SUBJECT}:KIND:NAME` and `authz:{1:SUBJECT}:once:CHARGES:ID`. The braces are the hash tag
of Redis Cluster: everything of one subject lives in one slot, so that one script may touch it all.
The 1 is the version of this form and of the values stored under it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from authz_service.core.hits import Fixed, Hit
from authz_service.core.rules import Charge, Limit, Quota, Rate

_PLAIN = re.compile(r"[A-Za-z0-9._~/@:-]*")
_PLAIN_PUNCTUATION = "/@:"  # quote() leaves letters, digits and ._~- alone anyway


def counter_keys(subject: str, charges: tuple[Charge, ...]) -> list[bytes]:
    """Return one key a charge. Different subjects, kinds or limit names never share a key."""
    prefix = _prefix(subject)
    return [prefix + _counter(charge.limit) for charge in charges]


def counter_key(subject: str, limit: Limit | Fixed) -> bytes:
    """Return the key of one limit."""
    return _prefix(subject) + _counter(limit)


def counter_kind(limit: Limit | Fixed) -> str:
    """Return how a limit is counted. Limits of one kind and one name share a counter."""
    if isinstance(limit, Quota):
        return "quota"
    if isinstance(limit, Fixed):
        return "fixed"
    return "rate" if limit.is_exact else "buckets"


def subject_key(subject: str) -> bytes:
    """Return what every key of a subject begins with, the hash tag included."""
    return _prefix(subject)


def answer_key(subject: str, charges: tuple[Charge, ...], once: str) -> bytes:
    """Return where the answer to these charges under the id `once` is remembered.

    Other charges under the same id have another key: after a change of policy the old answer is
    not the answer to the new question.
    """
    return b"%bonce:%b:%b" % (_prefix(subject), _fingerprint(charges), encode(once))


def hits_answer_key(hits: Sequence[Hit], once: str) -> bytes:
    """Return where the answer to these hits under the id `once` is remembered: at the first one.

    Other hits under the same id have another key.
    """
    asked = [(it.subject, *_window(it.limit), it.cost, it.says.value) for it in hits]
    return b"%bonce:%b:%b" % (_prefix(asked[0][0]), _digest(asked), encode(once))


def _prefix(subject: str) -> bytes:
    return b"authz:{1:%b}:" % encode(subject)


@lru_cache(maxsize=1024)  # charges come from the policy as well
def _fingerprint(charges: tuple[Charge, ...]) -> bytes:
    """Name charges alike in every process: `hash` differs from one to the next.

    What a process holds besides, or does while the store is away, makes no other question of it.
    """
    return _digest([_asked(charge.limit, charge.cost) for charge in charges])


def _digest(asked: Sequence[tuple[str | int, ...]]) -> bytes:
    return blake2b(repr(asked).encode(), digest_size=8).hexdigest().encode()


def _asked(limit: Limit, cost: int) -> tuple[str | int, ...]:
    if isinstance(limit, Rate):
        return (*_window(limit), cost)
    return ("quota", limit.name, limit.limit, limit.period.value, limit.zone, cost)


def _window(limit: Rate | Fixed) -> tuple[str, str, int, int]:
    kind = "fixed" if isinstance(limit, Fixed) else "rate"
    return kind, limit.name, limit.limit, limit.window_ms


def _counter(limit: Limit | Fixed) -> bytes:
    return _suffix(counter_kind(limit), limit.name)


@lru_cache(maxsize=1024)  # limit names come from the policy: few, and the same in every request
def _suffix(kind: str, name: str) -> bytes:
    return kind.encode() + b":" + encode(name)


def encode(text: str) -> bytes:
    """Percent-encode all but plain characters: reversible, hence free of collisions."""
    if _PLAIN.fullmatch(text):
        return text.encode()
    return quote(text, safe=_PLAIN_PUNCTUATION, errors="surrogatepass").encode()
