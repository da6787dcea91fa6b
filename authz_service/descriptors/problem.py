"""What can be wrong with descriptor files. Every rule has a broken example in the tests.

Teams that move here know the messages of the service they come from, and may watch for them. So
its rules speak in its words, without a line; the rules that are only ours name the line.
"""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """The rules that descriptor files must keep."""

    LOADING = "loading"
    KEY_TYPE = "key-type"
    UNKNOWN_KEY = "unknown-key"
    LIST_ELEMENT = "list-element"
    LEAF = "leaf"
    EMPTY_DOMAIN = "empty-domain"
    DUPLICATE_DOMAIN = "duplicate-domain"
    EMPTY_KEY = "empty-key"
    DUPLICATE_KEY = "duplicate-key"
    UNIT = "unit"
    UNLIMITED_UNIT = "unlimited-unit"
    EMPTY_REPLACES = "empty-replaces"
    REPLACES_ITSELF = "replaces-itself"
    SHARE_THRESHOLD = "share-threshold"
    METADATA = "metadata"
    MISPLACED_KEY = "misplaced-key"
    UNIT_MULTIPLIER = "unit-multiplier"
    ALGORITHM = "algorithm"
    RESERVED_DOMAIN = "reserved-domain"
    ON_STORE_FAILURE = "on-store-failure"


_OURS = frozenset(
    {
        Rule.MISPLACED_KEY,
        Rule.UNIT_MULTIPLIER,
        Rule.ALGORITHM,
        Rule.RESERVED_DOMAIN,
        Rule.ON_STORE_FAILURE,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `line` counts from 1."""

    rule: Rule
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.rule in _OURS else self.file
        return f"{place}: {self.text}"
