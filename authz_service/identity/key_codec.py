"""A stored key as text: JSON that is the same, byte for byte, for the same record.

What is read is believed only as a whole: a field that is unknown or makes no sense spoils it.
"""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from authz_service.core.key_digest import read_digest
from authz_service.identity.key_store import StoredKey
from authz_service.identity.moments import is_moment
from authz_service.identity.names import is_name
from authz_service.identity.own_limits import networks, overrides

_RECORD: Final = TypeAdapter(StoredKey)


def encode(key: StoredKey) -> bytes:
    """The text of a record; what has its default value is left out.

    Raises:
        ValueError: nobody would believe it.
    """
    text = _RECORD.dump_json(key, exclude_defaults=True)
    if decode(text) != key:
        raise ValueError("is no record")
    return text


def decode(text: bytes) -> StoredKey:
    """The record a text stands for.

    Raises:
        ValueError: it is none. The message names the field and never repeats a value.
    """
    try:
        key = _RECORD.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(_told(error)) from None
    for field, names in (
        ("id", (key.id,)),
        ("subject", (key.subject,)),
        ("tier", (key.tier,)),
        ("scopes", key.scopes),
    ):
        if not all(map(is_name, names)):
            raise ValueError(f"{field}: is no name")
    if not key.name.isprintable():
        raise ValueError("name: is not printable")
    if not all(map(is_moment, (key.created_at_ms, key.expires_at_ms or 0))):
        raise ValueError("created_at_ms or expires_at_ms: is no moment")
    try:
        read_digest(key.digest)
        overrides(key.rate, key.quota)
        networks(key.networks)
    except ValueError as error:
        raise ValueError(f"digest, rate, quota or networks: {error}") from None
    return key


def _told(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = details["loc"][0] if details["loc"] else ""
    if details["type"] == "unexpected_keyword_argument":
        return "has an unknown field"
    return f"{field}: {details['type']}" if field else "is no JSON object"
