"""Every key this process knows, found by digest: those of its configuration and of the key store.

All of them are resident, so a look-up is a few hashes and no I/O, however many keys there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import Pepper, digests
from authz_service.core.verdict import Reason


class ResidentKeys(Protocol):
    """The keys of a store, held in memory."""

    def __len__(self) -> int:
        """How many keys are held."""

    def find(self, digests: Sequence[bytes]) -> ApiKeyRecord | Reason:
        """The record that has one of these digests, or why there is none."""


class KeyIndex:
    """Finds a key's record. Looking up compares digests, so timing tells nothing of a key.

    `records` are those of the configuration, by digest. They come first: no store can replace
    them, and they are known whatever becomes of it.
    """

    def __init__(
        self,
        records: Mapping[bytes, ApiKeyRecord],
        *,
        peppers: Sequence[Pepper] = (),
        resident: ResidentKeys | None = None,
    ) -> None:
        self._records = records
        self._resident = resident
        self.peppers = tuple(peppers)

    def __len__(self) -> int:
        """How many keys the configuration has."""
        return len(self._records)

    def __contains__(self, digest: bytes) -> bool:
        """Whether a key of the configuration has this digest."""
        return digest in self._records

    def digests(self) -> Iterable[bytes]:
        """The digests of the configuration's keys."""
        return self._records.keys()

    def beside(self, resident: ResidentKeys) -> "KeyIndex":
        """The same keys, and those of a store."""
        return KeyIndex(self._records, peppers=self.peppers, resident=resident)

    def find(self, key: bytes) -> ApiKeyRecord | Reason:
        """The record of a presented key, or why there is none."""
        candidates = digests(key, self.peppers)
        for candidate in candidates:
            record = self._records.get(candidate)
            if record is not None:
                return record
        if self._resident is None:
            return Reason.UNKNOWN_KEY
        return self._resident.find(candidates)
