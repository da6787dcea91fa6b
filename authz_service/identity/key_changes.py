"""How a process follows a key store: everything once, then every change in its order.

A store counts its changes. The count is its generation; a record has that of its latest change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Version(NamedTuple):
    """A record as one change left it: its text, or None where it was deleted."""

    key_id: str
    generation: int
    text: bytes | None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has followed: a generation, and the store's own name for its change."""

    generation: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class News:
    """Changes after a mark, and the mark of the last one. There may be more."""

    changes: Sequence[Version]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Page:
    """Some of all records, and what changed meanwhile. The last page has the cursor 0."""

    records: Sequence[Version]
    cursor: int
    news: News


class KeyChanges(Protocol):
    """What there is to follow. Every method raises `StoreError` when the store does not answer."""

    async def mark(self) -> Mark:
        """The latest change."""

    async def page(self, cursor: int, after: Mark) -> Page:
        """The page at a cursor; the first one is at 0. A record may come more than once."""

    async def wait(self, after: Mark) -> News:
        """What changes next. Nothing, if nothing does for a while that is shorter than a second."""

    async def check(self, after: Mark) -> tuple[int, News]:
        """The generation of the store, and what it tells of the way there, at one moment."""

    async def close(self) -> None:
        """Let go of every connection."""


class UseLog(Protocol):
    """Where it is written when keys were used."""

    async def note_used(self, uses: Mapping[str, int]) -> None:
        """Note epoch milliseconds by id. Raises `StoreError` when the store does not answer."""

    async def close(self) -> None:
        """Let go of every connection."""
