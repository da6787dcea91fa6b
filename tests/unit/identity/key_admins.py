"""A `KeyAdmin` whose keys and ids are counted, and everything it has written down."""

from dataclasses import dataclass, field
from itertools import count

from authz_service.identity.key_admin import KeyAdmin
from authz_service.identity.key_audit import AuditEntry
from authz_service.identity.key_store import StoredKey
from authz_service.testing.clock import ManualClock
from authz_service.testing.key_store import InMemoryKeyStore

NOW_MS = 1_900_000_000_000  # 2030-03-17T17:46:40Z
DAY_MS = 86_400_000
TIERS = ("free", "pro")


def stored(key_id: str = "key_a", **fields: object) -> StoredKey:
    """A record, harmless where nothing is said."""
    given: dict[str, object] = {
        "id": key_id,
        "digest": f"sha256:{key_id}",
        "name": "A key",
        "subject": "acme",
        "tier": "free",
        "created_at_ms": NOW_MS - DAY_MS,
    }
    return StoredKey(**{**given, **fields})  # type: ignore[arg-type]


@dataclass
class Managed:
    """A store, who manages it, and the audit lines."""

    store: InMemoryKeyStore = field(default_factory=InMemoryKeyStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))
    audit: list[AuditEntry] = field(default_factory=list)
    admin: KeyAdmin = field(init=False)

    def __post_init__(self) -> None:
        """Wire them together."""
        keys, ids = count(1), count(1)
        self.admin = KeyAdmin(
            self.store,
            new_key=lambda environment: f"sk_{environment}_canary{next(keys)}",
            digest=lambda key: f"sha256:of-{key.decode()}",
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
    return Managed(store=InMemoryKeyStore(records))
