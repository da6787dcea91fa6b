"""The names of counters in a shared store.

`authz:{1:SUBJECT}:KIND:NAME`. The braces are the hash tag of Redis Cluster: all counters of one
subject live in one slot, so that one script may touch them together. The 1 is the version of this
form and of the values stored under it.
"""

import re
from functools import lru_cache
from urllib.parse import quote

from authz_service.core.rules import Charge, Rate

_PLAIN = re.compile(r"[A-Za-z0-9._~/@:-]*")
_PLAIN_PUNCTUATION = "/@:"  # quote() leaves letters, digits and ._~- alone anyway


def counter_keys(subject: str, charges: tuple[Charge, ...]) -> list[bytes]:
    """Return one key a charge. Different subjects, kinds or limit names never share a key."""
    prefix = b"authz:{1:%b}:" % _encode(subject)
    return [
        prefix + _suffix("rate" if isinstance(charge.limit, Rate) else "quota", charge.limit.name)
        for charge in charges
    ]


@lru_cache(maxsize=1024)  # limit names come from the policy: few, and the same in every request
def _suffix(kind: str, name: str) -> bytes:
    return kind.encode() + b":" + _encode(name)


def _encode(text: str) -> bytes:
    """Percent-encode all but plain characters: reversible, hence free of collisions."""
    if _PLAIN.fullmatch(text):
        return text.encode()
    return quote(text, safe=_PLAIN_PUNCTUATION, errors="surrogatepass").encode()
