"""API keys made, changed and revoked while the service runs: what a store of them promises.

The store holds digests, never keys. Workers hold every record in memory and follow its changes.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from authz_service.errors import AuthzServiceError


class KeyConflictError(AuthzServiceError):
    """An id or a digest is taken, or a record is no longer what the caller saw. Nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """All that is kept of a key. Times are epoch milliseconds.

    `digest` is `sha256:HEX`, or `hmac-sha256:PEPPER_ID:HEX` where a pepper was in use. `rate` and
    `quota` are limits of the key's own in the notation of policies, `networks` in that of CIDR.
    """

    id: str
    digest: str
    name: str
    subject: str
    tier: str
    scopes: tuple[str, ...] = ()
    expires_at_ms: int | None = None
    disabled: bool = False
    rate: str | None = None
    quota: str | None = None
    networks: tuple[str, ...] = ()
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One record before and after. Without `before` it is new, without `after` it is deleted."""

    before: StoredKey | None
    after: StoredKey | None

    def __post_init__(self) -> None:
        if len({key.id for key in (self.before, self.after) if key is not None}) != 1:
            raise ValueError("a change is of one record, which keeps its id")

    @property
    def key_id(self) -> str:
        """Whose change it is."""
        return next(key.id for key in (self.before, self.after) if key is not None)


class KeyStore(Protocol):
    """Keeps records by id. Every method raises `StoreError` when the store does not answer."""

    async def find(self, key_id: str) -> StoredKey | None:
        """The record of an id."""

    def all(self) -> AsyncIterator[StoredKey]:
        """Every record, in no order. One that changes meanwhile shows as it was or as it is."""

    async def apply(self, changes: Sequence[KeyChange]) -> None:
        """Make all changes at once or none, and have every worker learn of them.

        Raises:
            KeyConflictError: a record is not as `before` says, or an id or a digest is taken.
        """

    async def last_used(self, key_ids: Collection[str]) -> Mapping[str, int]:
        """When keys were last used (epoch milliseconds, within a minute), where it is known."""

    async def close(self) -> None:
        """Let go of every connection."""
