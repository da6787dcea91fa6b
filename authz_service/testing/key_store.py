"""A store of keys in memory that keeps the promises of `KeyStore`, or breaks down when told to."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from authz_service.errors import StoreError
from authz_service.identity.key_store import KeyChange, KeyConflictError, StoredKey


class InMemoryKeyStore:
    """Keeps records in a dictionary.

    While `is_away` is set nothing is answered. `before_apply` runs before each change, as somebody
    who is faster; `loses_answers` makes changes and says that it does not know.
    """

    def __init__(self, records: Sequence[StoredKey] = ()) -> None:
        self.records = {record.id: record for record in records}
        self.used: dict[str, int] = {}
        self.is_away = False
        self.loses_answers = False
        self.is_closed = False
        self.before_apply: Callable[[], None] = lambda: None

    async def find(self, key_id: str) -> StoredKey | None:
        """The record of an id."""
        self._answer()
        return self.records.get(key_id)

    async def all(self) -> AsyncIterator[StoredKey]:
        """Every record."""
        self._answer()
        for record in list(self.records.values()):
            yield record

    async def apply(self, changes: Sequence[KeyChange]) -> None:
        """Make all changes at once or none.

        Raises:
            KeyConflictError: a record is not as `before` says, or an id or a digest is taken.
        """
        self._answer()
        self.before_apply()
        after = dict(self.records)
        for change in changes:
            record = change.before or change.after
            if record is None or after.get(record.id) != change.before:
                raise KeyConflictError("a record has changed")
            after.pop(record.id, None)
            if change.after is not None:
                after[change.after.id] = change.after
        if len({record.digest for record in after.values()}) < len(after):
            raise KeyConflictError("a digest is taken")
        self.records = after
        if self.loses_answers:
            raise StoreError("the answer was lost")

    async def last_used(self, key_ids: Collection[str]) -> Mapping[str, int]:
        """When keys were last used, where it is known."""
        self._answer()
        return {key_id: self.used[key_id] for key_id in key_ids if key_id in self.used}

    async def close(self) -> None:
        """Nothing to let go of."""
        self.is_closed = True

    def _answer(self) -> None:
        if self.is_away:
            raise StoreError("the key store does not answer")
