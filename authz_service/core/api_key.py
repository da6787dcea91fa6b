"""API keys as values: the form of those we make, and what is kept of one.

A key of ours is `sk_ENVIRONMENT_RANDOM_CHECKSUM`. The checksum tells a slip of the hand from an
unknown key without any look-up; it proves nothing, since everybody can compute it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from authz_service.core.identity import Network
from authz_service.core.rules import Overrides

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS: Final = 32  # 190 bits
_CHECKSUM_DIGITS: Final = 6  # 62**6 is more than 2**32
_UNBIASED: Final = 256 - 256 % len(_BASE62)

_ACCEPTED = re.compile(rb"[!-+\--~]{8,256}")  # printable ASCII without space and comma
_ENVIRONMENT = re.compile(r"[a-z0-9]{1,12}")
_OUR_PREFIX = b"sk_"
_OUR_FORM = re.compile(
    rb"(sk_[a-z0-9]{1,12}_[0-9A-Za-z]{%d})_([0-9A-Za-z]{%d})" % (_RANDOM_DIGITS, _CHECKSUM_DIGITS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """What a check needs of a key; never the key itself. `expires_at_ms` is epoch milliseconds.

    `networks` are where the key may be used from; none means anywhere.
    """

    id: str
    subject: str
    tier: str
    scopes: tuple[str, ...] = ()
    expires_at_ms: int | None = None
    disabled: bool = False
    overrides: Overrides | None = None
    networks: tuple[Network, ...] = ()


def is_environment(text: str) -> bool:
    """Whether a text may stand in a key of ours as its environment."""
    return _ENVIRONMENT.fullmatch(text) is not None


def make_key(environment: str, *, random_bytes: Callable[[int], bytes]) -> str:
    """A new key. `random_bytes` returns as many bytes as it is asked for, none of them guessable.

    Raises:
        ValueError: the environment is not 1 to 12 of a-z and 0-9.
    """
    if not is_environment(environment):
        raise ValueError("must be 1 to 12 of a-z and 0-9")
    digits = _random_digits(random_bytes)
    body = f"sk_{environment}_{''.join(next(digits) for _ in range(_RANDOM_DIGITS))}"
    return f"{body}_{_checksum(body.encode())}"


def is_acceptable(key: bytes) -> bool:
    """Whether these bytes could be an API key at all: 8 to 256 printable characters.

    Space and comma are outside: a comma is how two header values look after joining. What begins
    as our own keys do must be one of them to the last character.
    """
    if key.startswith(_OUR_PREFIX):
        return is_ours(key)
    return _ACCEPTED.fullmatch(key) is not None


def is_ours(key: bytes) -> bool:
    """Whether a key has the form of those we make, its checksum included."""
    found = _OUR_FORM.fullmatch(key)
    return found is not None and _checksum(found[1]).encode() == found[2]


def _random_digits(random_bytes: Callable[[int], bytes]) -> Iterator[str]:
    """Digits of which each is as likely as any other: bytes that would favour some are left out."""
    while True:
        for byte in random_bytes(_RANDOM_DIGITS):
            if byte < _UNBIASED:
                yield _BASE62[byte % len(_BASE62)]


def _checksum(body: bytes) -> str:
    rest, digits = crc32(body), ""
    for _ in range(_CHECKSUM_DIGITS):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
