"""Who changed which key, and how: one log line for every change."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, cast

import structlog

from authz_service.identity.key_store import KeyChange, StoredKey

EVENT: Final = "API key changed"


class Outcome(StrEnum):
    """What became of a change."""

    DONE = "done"
    UNKNOWN = "unknown"  # the store was asked to make it, and did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change of one key. `changed` names the fields that differ, and no value."""

    action: str
    key_id: str
    subject: str
    changed: tuple[str, ...]
    outcome: Outcome


Audit = Callable[[AuditEntry], None]


def audit_log(actor: str) -> Audit:
    """Writes what `actor` does to the log."""
    log = structlog.get_logger(__name__)

    def write(entry: AuditEntry) -> None:
        log.info(
            EVENT,
            action=entry.action,
            key_id=entry.key_id,
            subject=entry.subject,
            actor=actor,
            changed=list(entry.changed),
            outcome=entry.outcome.value,
        )

    return write


def audit_entry(action: str, change: KeyChange, outcome: Outcome) -> AuditEntry:
    """What a change comes to. A key that is new or deleted has changed in nothing else."""
    before, after = change.before, change.after
    record = cast("StoredKey", after or before)  # a change has at least one side
    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        names = (field.name for field in fields(record))
        differing = [name for name in names if getattr(before, name) != getattr(after, name)]
        changed = tuple(name.removesuffix("_ms") for name in differing)
    return AuditEntry(
        action=action,
        key_id=record.id,
        subject=record.subject,
        changed=changed,
        outcome=outcome,
    )
