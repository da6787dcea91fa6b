"""A key as people and machines are shown it: everything but its digest."""

from enum import StrEnum

from authz_service.identity.key_admin import KeyView
from authz_service.identity.key_store import StoredKey
from authz_service.identity.moments import spell_moment


class KeyState(StrEnum):
    """What a key is good for. A disabled one stays disabled when it expires."""

    ACTIVE = "active"
    DISABLED = "disabled"
    EXPIRED = "expired"


def key_state(key: StoredKey, now_ms: int) -> KeyState:
    """What a key is good for at this moment."""
    if key.disabled:
        return KeyState.DISABLED
    if key.expires_at_ms is not None and now_ms >= key.expires_at_ms:
        return KeyState.EXPIRED
    return KeyState.ACTIVE


def shown_key(key: StoredKey, now_ms: int) -> dict[str, object]:
    """A key as JSON."""
    return {
        "id": key.id,
        "name": key.name,
        "subject": key.subject,
        "tier": key.tier,
        "state": key_state(key, now_ms).value,
        "scopes": list(key.scopes),
        "created_at": spell_moment(key.created_at_ms),
        "expires_at": _moment(key.expires_at_ms),
        "rate": key.rate,
        "quota": key.quota,
        "networks": list(key.networks),
    }


def shown_view(view: KeyView, now_ms: int) -> dict[str, object]:
    """A key as JSON, with its last use."""
    return {**shown_key(view.key, now_ms), "last_used_at": _moment(view.last_used_ms)}


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else spell_moment(at_ms)
