"""What a key is stored and found by: its SHA-256, or an HMAC-SHA-256 where a pepper is in use.

Keys carry enough entropy for a fast hash. A pepper makes stolen digests worthless: without it
nobody can tell which key a digest belongs to. It makes no record genuine: digests without a pepper
go on to count beside it.

As text a digest is `sha256:HEX` or `hmac-sha256:PEPPER_ID:HEX`. As bytes it is 32 long, or 36 where
the id of the pepper stands before it, so that digests of different kinds are never equal.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

_PEPPER_LABEL: Final = b"authz_service pepper id\0"
_ID_BYTES: Final = 4
_SHA256_BYTES: Final = 32
_TEXT = re.compile(r"(?:sha256|hmac-sha256:([0-9a-f]{8})):([0-9a-f]{64})")


@dataclass(frozen=True)
class Pepper:
    """A secret that goes into digests. Its id tells which one did, and nothing of it."""

    secret: bytes = field(repr=False)

    @cached_property
    def id_bytes(self) -> bytes:
        """The first 4 bytes of a hash of the secret."""
        return hashlib.sha256(_PEPPER_LABEL + self.secret).digest()[:_ID_BYTES]

    @property
    def id(self) -> str:
        """The same as 8 hex digits."""
        return self.id_bytes.hex()


def digest(key: bytes, pepper: Pepper | None = None) -> bytes:
    """The digest of a key: its HMAC under the pepper, its SHA-256 without one."""
    if pepper is None:
        return hashlib.sha256(key).digest()
    return pepper.id_bytes + hmac.digest(pepper.secret, key, "sha256")


def digests(key: bytes, peppers: Sequence[Pepper]) -> list[bytes]:
    """Every digest a key may be known by: one hash, and one more for each pepper."""
    return [digest(key), *(digest(key, pepper) for pepper in peppers)]


def pepper_id(of_digest: bytes) -> str:
    """The id of the pepper in a digest; empty where there is none."""
    return of_digest[:-_SHA256_BYTES].hex()


def read_digest(text: str) -> bytes:
    """A digest from its text.

    Raises:
        ValueError: it is no digest.
    """
    found = _TEXT.fullmatch(text)
    if not found:
        raise ValueError("is no digest; write sha256:HEX or hmac-sha256:PEPPER_ID:HEX")
    return bytes.fromhex((found[1] or "") + found[2])


def spell_digest(of_key: bytes) -> str:
    """A digest as text."""
    named = pepper_id(of_key)
    value = of_key[-_SHA256_BYTES:].hex()
    return f"hmac-sha256:{named}:{value}" if named else f"sha256:{value}"
