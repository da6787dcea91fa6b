"""A key store without a server, held to the same promises as the one with."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress

from authz_service.errors import StoreError
from authz_service.identity.key_changes import Mark, News, Page, Version
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import KeyChange, KeyConflictError, StoredKey

_PAGE = 2
_WAIT_S = 0.02


class MemoryKeyStore:
    """Records, their changes, and when they were used. `fails` makes every call fail.

    What a worker reads can be spoiled: `versions` and `changes` are what it is told, `generation`
    is what it compares with.
    """

    def __init__(self) -> None:
        self.versions: dict[str, Version] = {}
        self.changes: list[Version] = []
        self.generation = 0
        self.used: dict[str, int] = {}
        self.fails = False
        self.closed = False
        self._changed = asyncio.Event()
        self._pages: list[str] = []

    async def find(self, key_id: str) -> StoredKey | None:
        """The record of an id."""
        self._answer()
        version = self.versions.get(key_id)
        return None if version is None else decode(version.text or b"")

    async def all(self) -> AsyncIterator[StoredKey]:
        """Every record."""
        self._answer()
        for version in list(self.versions.values()):
            yield decode(version.text or b"")

    async def apply(self, changes: Sequence[KeyChange]) -> None:
        """Make all changes at once or none.

        Raises:
            KeyConflictError: a record is not as `before` says, or an id or a digest is taken.
        """
        self._answer()
        texts = {change.key_id: change.after and encode(change.after) for change in changes}
        if len(texts) < len(changes):
            raise KeyConflictError("a key is changed twice at once")
        for change in changes:
            self._check_before(change)
        self._check_digests(changes)
        for key_id, text in texts.items():
            self.generation += 1
            version = Version(key_id, self.generation, text or None)
            self.changes.append(version)
            if text:
                self.versions[key_id] = version
            else:
                del self.versions[key_id]
                self.used.pop(key_id, None)
        self._changed.set()

    async def last_used(self, key_ids: Collection[str]) -> Mapping[str, int]:
        """When keys were last used, where it is known."""
        self._answer()
        return {key_id: self.used[key_id] for key_id in key_ids if key_id in self.used}

    async def note_used(self, uses: Mapping[str, int]) -> None:
        """Note when keys were used."""
        self._answer()
        self.used |= uses

    async def mark(self) -> Mark:
        """The latest change."""
        self._answer()
        return Mark(self.generation, str(len(self.changes)).encode())

    async def page(self, cursor: int, after: Mark) -> Page:
        """Two records, and what changed meanwhile."""
        self._answer()
        if cursor == 0:
            self._pages = sorted(self.versions)  # what is deleted meanwhile must move nothing
        end = cursor + _PAGE
        held = [self.versions[it] for it in self._pages[cursor:end] if it in self.versions]
        return Page(held, end if end < len(self._pages) else 0, self._news(after))

    async def wait(self, after: Mark) -> News:
        """What changes next, if something does soon."""
        self._answer()
        if not self._news(after).changes:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _WAIT_S)
        self._answer()
        return self._news(after)

    async def check(self, after: Mark) -> tuple[int, News]:
        """The generation, and the changes on the way there."""
        self._answer()
        return self.generation, self._news(after)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _answer(self) -> None:
        if self.fails:
            raise StoreError("this key store fails on purpose")

    def _news(self, after: Mark) -> News:
        changes = self.changes[int(after.entry) :]
        if not changes:
            return News((), after)
        return News(changes, Mark(changes[-1].generation, str(len(self.changes)).encode()))

    def _check_before(self, change: KeyChange) -> None:
        held = self.versions.get(change.key_id)
        if change.before is None and held is not None:
            raise KeyConflictError(f"key {change.key_id}: is there already")
        if change.before is not None and (held is None or held.text != encode(change.before)):
            raise KeyConflictError(f"key {change.key_id}: is not as it was")

    def _check_digests(self, changes: Sequence[KeyChange]) -> None:
        changed = {change.key_id for change in changes}
        taken = {
            decode(version.text or b"").digest
            for key_id, version in self.versions.items()
            if key_id not in changed
        }
        for change in changes:
            if change.after is not None:
                if change.after.digest in taken:
                    raise KeyConflictError(f"key {change.key_id}: has the digest of another key")
                taken.add(change.after.digest)
