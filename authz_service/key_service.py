"""A wired `KeyAdmin`, for the commands and the admin API alike: the only place of its parts."""

import hashlib
import secrets
import string
import zlib
from typing import Final

from authz_service.clock import SystemClock
from authz_service.errors import ConfigurationError
from authz_service.identity.key_admin import KeyAdmin, Tiers
from authz_service.identity.key_audit import audit_log
from authz_service.identity.key_store import KeyStore

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
# Crockford's base 32: nothing that is read as something else.
_ID_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH: Final = 10


def open_key_store(url: str) -> KeyStore:
    """The store at `url`. Connects to nothing yet.

    Raises:
        ConfigurationError: the URL is wrong; it is not quoted, as it may hold a password.
    """
    del url
    raise ConfigurationError(["AUTHZ_KEYS_URL: this build has no key store"])


def key_admin(store: KeyStore, *, actor: str, tiers: Tiers = lambda: None) -> KeyAdmin:
    """Management of the keys of a store, in the name of `actor`."""
    return KeyAdmin(
        store,
        new_key=_new_key,
        digest=_digest_text,
        new_id=_new_id,
        clock=SystemClock(),
        audit=audit_log(actor),
        tiers=tiers,
    )


def _new_id() -> str:
    return "key_" + _random_text(_ID_LETTERS, _ID_LENGTH)


def _new_key(environment: str) -> str:
    body = f"sk_{environment}_{_random_text(_BASE62, 32)}"
    return f"{body}_{_base62(zlib.crc32(body.encode()), 6)}"


def _digest_text(key: bytes) -> str:
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def _random_text(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _BASE62[digit] + text
    return text
