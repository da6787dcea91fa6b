"""Managing keys for people: made, shown, switched off and on, replaced, deleted, taken over.

A key itself is known for the length of one call, that of whoever asked for it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import Final

from authz_service.clock import Clock
from authz_service.errors import AuthzServiceError
from authz_service.identity.key_audit import Audit, Outcome, audit_entry
from authz_service.identity.key_fields import NewKey, Reroll, Surroundings, read_fields
from authz_service.identity.key_import import Imported, compare, read_entries
from authz_service.identity.key_store import KeyChange, KeyConflictError, KeyStore, StoredKey
from authz_service.identity.names import is_name

# A key that still changes under our hands after so many looks is somebody else's to settle.
_ATTEMPTS: Final = 5

Tiers = Callable[[], Collection[str] | None]
"""The tiers of the policy, None where no policy is known."""


class UnknownKeyError(AuthzServiceError):
    """There is no key with the id that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key with its secret, and the key that it replaces."""

    key: StoredKey
    secret: str = field(repr=False)
    replaced: StoredKey | None = None


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key, and when it was last used if that is known."""

    key: StoredKey
    last_used_ms: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the keys in the order of their ids; `more` says whether others follow."""

    keys: tuple[KeyView, ...]
    more: bool


class KeyAdmin:
    """Changes the keys of a store. Every method raises `StoreError` when that does not answer.

    `new_key` makes a key for an environment, `digest` what is stored of it, `new_id` an id.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        new_key: Callable[[str], str],
        digest: Callable[[bytes], str],
        new_id: Callable[[], str],
        clock: Clock,
        audit: Audit,
        tiers: Tiers = lambda: None,
    ) -> None:
        self._store = store
        self._new_key = new_key
        self._digest = digest
        self._new_id = new_id
        self._clock = clock
        self._audit = audit
        self._tiers = tiers

    async def create(self, given: object) -> IssuedKey:
        """Make a key with the fields of `NewKey`.

        Raises:
            KeyFieldsError: naming every wrong field.
            KeyConflictError: the id is taken.
        """
        fields = read_fields(NewKey, given, self._surroundings())
        for _ in range(_ATTEMPTS):
            secret = self._new_key(fields.environment)
            made = fields.stored_as(
                fields.id or self._new_id(),
                digest=self._digest(secret.encode()),
                created_at_ms=self._clock.now_ms(),
            )
            try:
                await self._apply("created", [KeyChange(None, made)])
            except KeyConflictError:
                if fields.id is not None and await self._store.find(fields.id) is not None:
                    raise KeyConflictError("the id is taken") from None
                continue
            return IssuedKey(key=made, secret=secret)
        raise KeyConflictError("no id was free; try again")

    async def show(self, key_id: str) -> KeyView:
        """One key.

        Raises:
            UnknownKeyError: there is none.
        """
        key = await self._existing(key_id)
        used = await self._store.last_used([key.id])
        return KeyView(key, used.get(key.id))

    async def page(self, *, after: str, limit: int) -> Page:
        """At most `limit` keys whose ids follow `after`."""
        found: list[StoredKey] = []
        async for key in self._store.all():
            if key.id > after:
                found.append(key)
            if len(found) > 2 * limit:  # a store of a million is not held to show a hundred
                found = _first(found, limit + 1)
        found = _first(found, limit + 1)
        return Page(await self._views(found[:limit]), more=len(found) > limit)

    async def every(self) -> tuple[KeyView, ...]:
        """All keys, those of one subject together and the oldest first."""
        found = [key async for key in self._store.all()]
        found.sort(key=lambda key: (key.subject, key.created_at_ms, key.id))
        return await self._views(found)

    async def disable(self, key_id: str) -> StoredKey:
        """Have a key refused until it is enabled; it may be disabled already.

        Raises:
            UnknownKeyError: there is none.
            KeyConflictError: others keep changing it.
        """
        return await self._set_disabled(key_id, "disabled", disabled=True)

    async def enable(self, key_id: str) -> StoredKey:
        """Have a disabled key accepted again; it may be enabled already.

        Raises:
            UnknownKeyError: there is none.
            KeyConflictError: others keep changing it.
        """
        return await self._set_disabled(key_id, "enabled", disabled=False)

    async def reroll(self, key_id: str, given: object) -> IssuedKey:
        """Replace a key by a new one with the fields of `Reroll`; the old one lives on for a while.

        The new key has an id of its own and everything else of the old one, so both count as one
        subject. The old one ends after the overlap, or when it would have ended anyway.

        Raises:
            KeyFieldsError: naming every wrong field.
            UnknownKeyError: there is none.
            KeyConflictError: it is disabled or has expired, or others keep changing it.
        """
        now_ms = self._clock.now_ms()
        fields = read_fields(Reroll, given, Surroundings(now_ms=now_ms, tiers=None))
        for _ in range(_ATTEMPTS):
            before = await self._active(key_id, now_ms)
            ends_ms = now_ms + fields.overlap
            own_end_ms = before.expires_at_ms
            after = replace(
                before, expires_at_ms=ends_ms if own_end_ms is None else min(own_end_ms, ends_ms)
            )
            secret = self._new_key(fields.environment)
            made = replace(
                before,
                id=self._new_id(),
                digest=self._digest(secret.encode()),
                expires_at_ms=(
                    fields.expires_at if "expires_at" in fields.model_fields_set else own_end_ms
                ),
                created_at_ms=now_ms,
            )
            try:
                await self._apply("rerolled", [KeyChange(None, made), KeyChange(before, after)])
            except KeyConflictError:
                continue
            return IssuedKey(key=made, secret=secret, replaced=after)
        raise _restless()

    async def delete(self, key_id: str) -> StoredKey:
        """Forget a key; the record as it was.

        Raises:
            UnknownKeyError: there is none.
            KeyConflictError: others keep changing it.
        """
        for _ in range(_ATTEMPTS):
            before = await self._existing(key_id)
            try:
                await self._apply("deleted", [KeyChange(before, None)])
            except KeyConflictError:
                continue
            return before
        raise _restless()

    async def take_over(self, given: object) -> Imported:
        """Import a list of entries with the fields of `ImportedKey`; what is there already stays.

        Raises:
            KeyFieldsError: naming every wrong entry by its place; nothing was imported.
            KeyConflictError: others keep importing the same.
        """
        records = read_entries(given, self._surroundings())
        for _ in range(_ATTEMPTS):
            compared = await compare(records, self._store.all())
            try:
                await self._apply("imported", [KeyChange(None, key) for key in compared.new])
            except KeyConflictError:
                continue
            return compared
        raise _restless()

    async def _set_disabled(self, key_id: str, action: str, *, disabled: bool) -> StoredKey:
        for _ in range(_ATTEMPTS):
            before = await self._existing(key_id)
            if before.disabled is disabled:
                return before
            after = replace(before, disabled=disabled)
            try:
                await self._apply(action, [KeyChange(before, after)])
            except KeyConflictError:
                continue
            return after
        raise _restless()

    async def _apply(self, action: str, changes: Sequence[KeyChange]) -> None:
        """Make the changes, and write down what is known of them."""
        if not changes:
            return
        try:
            await self._store.apply(changes)
        except KeyConflictError:
            raise
        except BaseException:
            self._write_down(action, changes, Outcome.UNKNOWN)
            raise
        self._write_down(action, changes, Outcome.DONE)

    def _write_down(self, action: str, changes: Sequence[KeyChange], outcome: Outcome) -> None:
        for change in changes:
            self._audit(audit_entry(action, change, outcome))

    async def _existing(self, key_id: str) -> StoredKey:
        # What cannot be an id may be a key that stands in the wrong place: nobody is told of it.
        found = await self._store.find(key_id) if is_name(key_id) else None
        if found is None:
            raise UnknownKeyError("there is no key with this id")
        return found

    async def _active(self, key_id: str, now_ms: int) -> StoredKey:
        key = await self._existing(key_id)
        if key.disabled:
            raise KeyConflictError("the key is disabled; enable it first, or create a new one")
        if key.expires_at_ms is not None and now_ms >= key.expires_at_ms:
            raise KeyConflictError("the key has expired; create a new one")
        return key

    async def _views(self, keys: Sequence[StoredKey]) -> tuple[KeyView, ...]:
        used = await self._store.last_used([key.id for key in keys])
        return tuple(KeyView(key, used.get(key.id)) for key in keys)

    def _surroundings(self) -> Surroundings:
        return Surroundings(now_ms=self._clock.now_ms(), tiers=self._tiers())


def _first(keys: list[StoredKey], count: int) -> list[StoredKey]:
    return nsmallest(count, keys, key=lambda key: key.id)


def _restless() -> KeyConflictError:
    return KeyConflictError("the key changes all the time; try again")
