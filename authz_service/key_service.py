"""A wired `KeyAdmin`, for the commands and the admin API alike: the only place of its parts."""

import secrets
from functools import partial
from pathlib import Path
from typing import Final

from authz_service.clock import SystemClock
from authz_service.core.api_key import make_key
from authz_service.core.key_digest import digest, spell_digest
from authz_service.errors import ConfigurationError
from authz_service.identity.key_admin import KeyAdmin, Tiers
from authz_service.identity.key_audit import audit_log
from authz_service.identity.key_store import KeyStore
from authz_service.identity.peppers import load_peppers
from authz_service.storage.from_url import key_store_from_url

# Crockford's base 32: nothing that is read as something else.
_ID_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH: Final = 10


def open_key_store(url: str) -> KeyStore:
    """The store at `url`. Connects to nothing yet.

    Raises:
        ConfigurationError: the URL is wrong; it is not quoted, as it may hold a password.
    """
    try:
        return key_store_from_url(url)
    except ConfigurationError as error:
        problems = [problem.removeprefix("store URL: ") for problem in error.problems]
        raise ConfigurationError([f"AUTHZ_KEYS_URL: {problem}" for problem in problems]) from None


def key_admin(
    store: KeyStore, *, pepper_file: Path | None, actor: str, tiers: Tiers = lambda: None
) -> KeyAdmin:
    """Management of the keys of a store, in the name of `actor`."""
    return KeyAdmin(
        store,
        new_key=partial(make_key, random_bytes=secrets.token_bytes),
        digest=partial(_stored_digest, pepper_file),
        new_id=_new_id,
        clock=SystemClock(),
        audit=audit_log(actor),
        tiers=tiers,
    )


def _stored_digest(pepper_file: Path | None, key: bytes) -> str:
    """What is stored of a key. Keys are made rarely: the pepper is read anew for each."""
    pepper = None if pepper_file is None else load_peppers(pepper_file)[0]
    return spell_digest(digest(key, pepper))


def _new_id() -> str:
    return "key_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
