"""The keys of a store as this process holds them, and how far they can be relied on.

What is held is fresh while the store has been read within 1.5 s. While it is not, a known key goes
on for as long as was configured; an unknown one may be newer than what is held, so nothing is said
of it.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from authz_service.clock import Clock
from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.key_digest import pepper_id
from authz_service.core.verdict import Reason
from authz_service.identity.key_changes import Version
from authz_service.identity.key_codec import decode
from authz_service.identity.key_index import KeyIndex
from authz_service.identity.key_table import KeyTable, TableRecord

FRESH_MS: Final = 1_500
_MAX_TOLD: Final = 1_000
_SHOWN_OF_AN_ID: Final = 128

_log = structlog.get_logger(__name__)


class StoreKeys:
    """Records of a key store, and when it was last known that they are all there is.

    `configured` are the keys of the configuration, whose digests no store can take.
    """

    def __init__(self, configured: KeyIndex, *, clock: Clock, max_stale_ms: int) -> None:
        self._configured = configured
        self._known_peppers = _ids(configured)
        self._clock = clock
        self._max_stale_ms = max_stale_ms
        self._table = KeyTable()
        self._confirmed_ms: int | None = None
        self._is_behind = False
        self._load = 0
        self._load_began = 0
        self._changed: dict[str, int] | None = None  # by id, while a load goes on
        self._unreadable: dict[str, int] = {}  # by id, the load that met it last
        self._shadowed: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._used: dict[str, int] = {}

    def __len__(self) -> int:
        """How many keys are held and count."""
        return len(self._table)

    def find(self, digests: Sequence[bytes]) -> ApiKeyRecord | Reason:
        """The record that has one of these digests, or why there is none."""
        now_ms = self._clock.monotonic_ms()
        for digest in digests:
            record = self._table.find(digest)
            if record is not None:
                if not self._confirmed_within(self._max_stale_ms, now_ms):
                    return Reason.KEY_STORE_UNAVAILABLE
                self._note_use(record)
                return record
        if self._is_behind or not self._confirmed_within(FRESH_MS, now_ms):
            return Reason.KEY_STORE_UNAVAILABLE
        return Reason.UNKNOWN_KEY

    def take_uses(self) -> dict[str, int]:
        """When keys were used since this was last asked, in epoch milliseconds by id."""
        uses, self._used = self._used, {}
        return uses

    def holds(self, key_id: str) -> bool:
        """Whether there is a record of this id, and not only once was one."""
        return self._table.get(key_id) is not None

    @property
    def problems(self) -> int:
        """How many records of the store do not count."""
        under_unknown_peppers = sum(self._under_unknown_peppers().values())
        twins = self._shadowed | self._table.clashing
        return len(self._unreadable) + len(twins) + under_unknown_peppers

    def configure(self, configured: KeyIndex) -> None:
        """Stand beside these keys of the configuration from now on."""
        self._configured = configured
        self._known_peppers = _ids(configured)
        found = (self._table.find(digest) for digest in configured.digests())
        self._shadowed = {record.id for record in found if record is not None}
        for key_id in self._shadowed:
            self._tell_shadowed(key_id)
        for pepper in self._under_unknown_peppers():
            self._tell_pepper(pepper)

    def begin_load(self, generation: int) -> None:
        """Every record will be told anew. What is held stays until it is known to be gone."""
        self._load += 1
        self._load_began = generation
        self._changed = {}

    def take(self, version: Version) -> None:
        """Take a record or a deletion, unless something newer of that id has come before.

        While records are loaded and changes come in between, either may be the newer one.
        """
        key_id = version.key_id
        if self._changed is not None:
            if version.generation <= self._changed.get(key_id, -1):
                return
            if version.generation > self._load_began:
                self._changed[key_id] = version.generation
        self._unreadable.pop(key_id, None)
        self._shadowed.discard(key_id)
        if version.text is None:
            self._table.remove(key_id)
        else:
            self._put(key_id, version.text)

    def held_before(self) -> list[str]:
        """The ids that this load has to confirm; empty the first time."""
        return [] if self._load == 1 else [*self._table.ids(), *self._unreadable]

    def drop_unseen(self, key_ids: Sequence[str]) -> None:
        """Forget those of these ids that the load has not met."""
        for key_id in key_ids:
            held = self._table.get(key_id)
            if held is not None and held.load != self._load:
                self._table.remove(key_id)
                self._shadowed.discard(key_id)
            if self._unreadable.get(key_id) not in {None, self._load}:
                del self._unreadable[key_id]

    def end_load(self) -> None:
        """All that was held before has been confirmed or dropped; changes come in order now."""
        self._changed = None

    def confirm(self) -> None:
        """What is held is what the store holds."""
        self._confirmed_ms = self._clock.monotonic_ms()
        self._is_behind = False

    def fell_behind(self) -> None:
        """Something changed in the store that was not told here."""
        self._is_behind = True

    def _confirmed_within(self, limit_ms: int, now_ms: int) -> bool:
        return self._confirmed_ms is not None and now_ms - self._confirmed_ms <= limit_ms

    def _note_use(self, record: ApiKeyRecord) -> None:
        now_ms = self._clock.now_ms()
        expires_at_ms = record.expires_at_ms
        if not record.disabled and (expires_at_ms is None or now_ms < expires_at_ms):
            self._used[record.id] = now_ms

    def _put(self, key_id: str, text: bytes) -> None:
        try:
            key = decode(text)
            if key.id != key_id:
                raise ValueError("id: is another one")  # noqa: TRY301 - told like the others
        except ValueError as error:
            # Whatever the record was before, it does not say so any more.
            self._table.remove(key_id)
            self._unreadable[key_id] = self._load
            self._tell(key_id, f"makes no sense: {error}")
            return
        self._tell_problems(self._table.put(key, load=self._load))

    def _tell_problems(self, record: TableRecord) -> None:
        digest = record.digest
        if digest in self._configured:
            self._shadowed.add(record.id)
            self._tell_shadowed(record.id)
        elif self._table.find(digest) is not record:
            self._tell(record.id, "has the digest of another record: neither counts")
        pepper = pepper_id(digest)
        if pepper and pepper not in self._known_peppers:
            self._tell_pepper(pepper)

    def _under_unknown_peppers(self) -> dict[str, int]:
        return {
            pepper: count
            for pepper, count in self._table.under_peppers().items()
            if pepper not in self._known_peppers
        }

    def _tell_shadowed(self, key_id: str) -> None:
        self._tell(key_id, "has the digest of a key of the configuration, which comes first")

    def _tell_pepper(self, pepper: str) -> None:
        self._tell("", f"was made under the pepper {pepper}, which AUTHZ_PEPPER_FILE does not hold")

    def _tell(self, key_id: str, what: str) -> None:
        """Log a problem once. A store full of nonsense must not fill the log."""
        about = (key_id, what)
        if about in self._told or len(self._told) >= _MAX_TOLD:
            return
        self._told.add(about)
        _log.error(
            "a record of the key store does not count",
            key_id=key_id[:_SHOWN_OF_AN_ID],
            problem=what,
        )


def _ids(configured: KeyIndex) -> frozenset[str]:
    return frozenset(pepper.id for pepper in configured.peppers)
