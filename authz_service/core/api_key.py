"""API keys as values: what is kept of one, and the digest it is found by."""

import hashlib
import re
from dataclasses import dataclass

from authz_service.core.identity import Network
from authz_service.core.rules import Overrides

_ACCEPTED = re.compile(rb"[!-+\--~]{8,256}")  # printable ASCII without space and comma


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


def is_acceptable(key: bytes) -> bool:
    """Whether these bytes could be an API key at all: 8 to 256 printable characters.

    Space and comma are outside: a comma is how two header values look after joining.
    """
    return _ACCEPTED.fullmatch(key) is not None


def digest(key: bytes) -> bytes:
    """The SHA-256 a key is stored and found by. Keys carry enough entropy for a fast hash."""
    return hashlib.sha256(key).digest()
