"""Keys that somebody else made, taken over by their digests: all of them, or none."""

from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from authz_service.identity.key_fields import (
    FieldProblem,
    ImportedKey,
    KeyFieldsError,
    Surroundings,
    check_fields,
)
from authz_service.identity.key_store import StoredKey

# One import is one change of the store: 15 ms of a server from which checks want an answer in 25.
MAX_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: the records that are new, and those that were there already."""

    new: tuple[StoredKey, ...]
    unchanged: tuple[StoredKey, ...]


def read_entries(given: object, surroundings: Surroundings) -> list[StoredKey]:
    """The records of a list of entries, in its order.

    Raises:
        KeyFieldsError: naming every wrong entry by its place.
    """
    if not isinstance(given, list):
        raise KeyFieldsError([FieldProblem((), "must be a list of entries")])
    if len(given) > MAX_ENTRIES:
        raise KeyFieldsError([FieldProblem((), f"must hold at most {MAX_ENTRIES:,} entries")])
    records: dict[int, StoredKey] = {}
    problems: list[FieldProblem] = []
    for at, entry in enumerate(given):
        found, wrong = check_fields(ImportedKey, entry, surroundings, place=(at,))
        problems += wrong
        if found is not None:
            records[at] = found.stored(surroundings.now_ms)
    problems += _twins(records)
    if problems:
        raise KeyFieldsError(problems)
    return list(records.values())


def _twins(records: Mapping[int, StoredKey]) -> Iterator[FieldProblem]:
    ids: dict[str, int] = {}
    digests: dict[str, int] = {}
    for at, record in records.items():
        if (same := digests.setdefault(record.digest, at)) != at:
            yield FieldProblem((at,), f"the same key as [{same}]")
        elif (same := ids.setdefault(record.id, at)) != at:
            yield FieldProblem((at, "id"), f"the same id as [{same}]")


async def compare(records: Sequence[StoredKey], held: AsyncIterable[StoredKey]) -> Imported:
    """Tell new records from those that are held already.

    Raises:
        KeyFieldsError: naming every entry whose id or key is held in another way.
    """
    by_id = {record.id: at for at, record in enumerate(records)}
    by_digest = {record.digest: at for at, record in enumerate(records)}
    problems: dict[int, FieldProblem] = {}
    unchanged: dict[int, StoredKey] = {}
    async for other in held:
        at, same_key = by_id.get(other.id), by_digest.get(other.digest)
        if at is not None and replace(records[at], created_at_ms=other.created_at_ms) == other:
            unchanged[at] = other
        elif at is not None:
            problems[at] = FieldProblem((at, "id"), "is there already, with other fields")
        elif same_key is not None:
            problems[same_key] = FieldProblem((same_key,), f"is there already, as {other.id}")
    if problems:
        raise KeyFieldsError([problems[at] for at in sorted(problems)])
    new = [record for at, record in enumerate(records) if at not in unchanged]
    return Imported(tuple(new), tuple(unchanged.values()))
