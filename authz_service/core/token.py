"""A bearer token taken apart: a signed JWT in compact form (RFC 7515 section 3.1), or malformed.

Stands in front of the library that verifies signatures, so that it only ever sees what is well
formed. Nothing here is believed yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from authz_service.core import base64url
from authz_service.core.credential import MAX_TOKEN_BYTES
from authz_service.core.json_object import read_object
from authz_service.core.verdict import Reason

MAX_KEY_ID_LENGTH = 256

# `crit` asks for extensions (RFC 7515 section 4.1.11), `b64` for a payload that is not encoded
# (RFC 7797), the others for decryption (RFC 7516). None of them is understood here.
_NOT_UNDERSTOOD = frozenset({"crit", "b64", "enc", "zip"})
_SEGMENTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A well-formed token, not yet verified. `signed` is what its signature is over.

    What the header says of keys to fetch or to use (`jku`, `jwk`, `x5u`, `x5c`) is not kept.
    """

    algorithm: str
    key_id: str | None
    type: str | None
    claims: Mapping[str, object] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse_token(token: bytes) -> Token | Reason:
    """The parts of a token, or MALFORMED_TOKEN."""
    return _parse(token) or Reason.MALFORMED_TOKEN


def _parse(token: bytes) -> Token | None:
    segments = _segments(token)
    if segments is None:
        return None
    header, claims = read_object(segments[0]), read_object(segments[1])
    if header is None or claims is None or not _is_understood(header):
        return None
    return Token(
        algorithm=cast("str", header["alg"]),
        key_id=cast("str | None", header.get("kid")),
        type=cast("str | None", header.get("typ")),
        claims=claims,
        signed=token[: token.rindex(b".")],
        signature=segments[2],
    )


def _segments(token: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Header, claims and signature, decoded."""
    segments = token.split(b".", _SEGMENTS)
    if len(token) > MAX_TOKEN_BYTES or len(segments) != _SEGMENTS or not all(segments):
        return None
    header, claims, signature = map(base64url.decode, segments)
    if header is None or claims is None or signature is None:
        return None
    return header, claims, signature


def _is_understood(header: Mapping[str, object]) -> bool:
    return (
        not header.keys() & _NOT_UNDERSTOOD
        and isinstance(header.get("alg"), str)
        and ("kid" not in header or is_key_id(header["kid"]))
        and isinstance(header.get("typ", ""), str)
    )


def is_key_id(value: object) -> bool:
    """Whether a key may have this name. It is looked up as it is and never interpreted."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_KEY_ID_LENGTH
