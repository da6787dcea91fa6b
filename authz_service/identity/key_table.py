"""The records of a key store in memory: by id as they change, by digest as they are looked up."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Final, TypeVar

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import pepper_id, read_digest
from authz_service.identity.key_store import StoredKey
from authz_service.identity.own_limits import networks, overrides

_SHARED: Final = 1024
_PARTS: Final = 64
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRecord(ApiKeyRecord):
    """A record, what it is found by, and the number of the load that saw it last."""

    digest: bytes = field(repr=False)
    load: int


class KeyTable:
    """Records of which no two have one digest: where a store says so, neither counts.

    Both indexes are in parts, because a dictionary grows all at once: a whole one takes 30 ms for
    that at a million records, and every check would wait for it.
    """

    def __init__(self) -> None:
        self._by_id: tuple[dict[str, TableRecord], ...] = tuple({} for _ in range(_PARTS))
        self._by_digest: tuple[dict[bytes, TableRecord], ...] = tuple({} for _ in range(_PARTS))
        self._clashes: dict[bytes, set[str]] = {}
        self._by_pepper: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many records count."""
        return sum(map(len, self._by_digest))

    def find(self, digest: bytes) -> TableRecord | None:
        """The record that has a digest."""
        return self._by_digest[digest[-1] % _PARTS].get(digest)

    def ids(self) -> list[str]:
        """The ids of all records, those that do not count included."""
        return list(chain.from_iterable(self._by_id))

    def get(self, key_id: str) -> TableRecord | None:
        """The record of an id."""
        return self._part(key_id).get(key_id)

    @property
    def clashing(self) -> set[str]:
        """The ids of records that do not count because they share a digest."""
        return set().union(*self._clashes.values())

    def under_peppers(self) -> dict[str, int]:
        """How many records were made under each pepper."""
        return {pepper: count for pepper, count in self._by_pepper.items() if pepper and count}

    def put(self, key: StoredKey, *, load: int) -> TableRecord:
        """Take a record in the place of the one of its id."""
        part = self._part(key.id)
        held = part.get(key.id)
        if held is not None:
            self._unlink(held)
        record = _record(key, held, load)
        part[record.id] = record
        self._link(record)
        return record

    def remove(self, key_id: str) -> None:
        """Forget the record of an id, if there is one."""
        held = self._part(key_id).pop(key_id, None)
        if held is not None:
            self._unlink(held)

    def _part(self, key_id: str) -> dict[str, TableRecord]:
        return self._by_id[hash(key_id) % _PARTS]

    def _link(self, record: TableRecord) -> None:
        digest = record.digest
        self._by_pepper[pepper_id(digest)] += 1
        if digest in self._clashes:
            self._clashes[digest].add(record.id)
            return
        part = self._by_digest[digest[-1] % _PARTS]
        twin = part.setdefault(digest, record)
        if twin is not record:
            del part[digest]
            self._clashes[digest] = {twin.id, record.id}

    def _unlink(self, record: TableRecord) -> None:
        digest = record.digest
        self._by_pepper[pepper_id(digest)] -= 1
        part = self._by_digest[digest[-1] % _PARTS]
        clashing = self._clashes.get(digest)
        if clashing is None:
            del part[digest]
            return
        clashing.discard(record.id)
        if len(clashing) == 1:
            del self._clashes[digest]
            left = clashing.pop()
            part[digest] = self._part(left)[left]


def _record(key: StoredKey, held: TableRecord | None, load: int) -> TableRecord:
    """What a check needs of a record. What is equal is shared: there may be a million of them."""
    key_id = key.id if held is None else held.id
    digest = read_digest(key.digest)
    return TableRecord(
        id=key_id,
        subject=key_id if key.subject == key_id else key.subject,
        tier=_one_of_equals(key.tier),
        scopes=_one_of_equals(key.scopes),
        expires_at_ms=key.expires_at_ms,
        disabled=key.disabled,
        overrides=overrides(key.rate, key.quota),
        networks=networks(key.networks),
        digest=held.digest if held is not None and held.digest == digest else digest,
        load=load,
    )


@lru_cache(maxsize=_SHARED)
def _one_of_equals(value: _T) -> _T:
    return value
