"""A `KeyAdmin` whose keys and ids are counted, its store, and everything it has written down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

from authz_service.errors import StoreError
from authz_service.identity.key_admin import KeyAdmin
from authz_service.identity.key_audit import AuditEntry
from authz_service.identity.key_changes import Version
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import KeyChange, StoredKey
from authz_service.testing.clock import ManualClock
from authz_service.testing.key_store import MemoryKeyStore

NOW_MS = 1_900_000_000_000  # 2030-03-17T17:46:40Z
DAY_MS = 86_400_000
TIERS = ("free", "pro")


def digest_of(key: bytes) -> str:
    """What is stored of a key."""
    return f"sha256:{sha256(key).hexdigest()}"


def stored(key_id: str = "key_a", **fields: object) -> StoredKey:
    """A record, harmless where nothing is said."""
    given: dict[str, object] = {
        "id": key_id,
        "digest": digest_of(key_id.encode()),
        "name": "A key",
        "subject": "acme",
        "tier": "free",
        "created_at_ms": NOW_MS - DAY_MS,
    }
    return StoredKey(**{**given, **fields})  # type: ignore[arg-type]


class HeldKeyStore(MemoryKeyStore):
    """A key store that a test can look into, and disturb.

    `before_apply` runs before each change, as somebody who is faster; with `loses_answers` changes
    are made and nobody is told.
    """

    def __init__(self, records: Sequence[StoredKey] = ()) -> None:
        super().__init__()
        self.before_apply: Callable[[], None] = lambda: None
        self.loses_answers = False
        self.put(*records)

    @property
    def records(self) -> dict[str, StoredKey]:
        """Every record by its id."""
        return {key_id: decode(it.text or b"") for key_id, it in self.versions.items()}

    def put(self, *records: StoredKey) -> None:
        """Have these records, whatever they were."""
        for record in records:
            self.versions[record.id] = Version(record.id, 0, encode(record))

    async def apply(self, changes: Sequence[KeyChange]) -> None:
        """Make all changes at once or none."""
        self.before_apply()
        await super().apply(changes)
        if self.loses_answers:
            raise StoreError("the answer was lost")


@dataclass
class Managed:
    """A store, who manages it, and the audit lines."""

    store: HeldKeyStore = field(default_factory=HeldKeyStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))
    audit: list[AuditEntry] = field(default_factory=list)
    admin: KeyAdmin = field(init=False)

    def __post_init__(self) -> None:
        """Wire them together."""
        keys, ids = count(1), count(1)
        self.admin = KeyAdmin(
            self.store,
            new_key=lambda environment: f"sk_{environment}_canary{next(keys)}",
            digest=digest_of,
            new_id=lambda: f"key_{next(ids)}",
            clock=self.clock,
            audit=self.audit.append,
            tiers=lambda: TIERS,
        )

    @property
    def written(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """The audit lines: action, key, what changed, outcome."""
        return [(it.action, it.key_id, it.changed, it.outcome.value) for it in self.audit]


def managed(*records: StoredKey) -> Managed:
    """A store of these records and its manager."""
    return Managed(store=HeldKeyStore(records))
