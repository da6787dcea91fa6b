"""What can be wrong with a policy. Every rule has a name, and a broken example in the tests."""

from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]


class Rule(StrEnum):
    """The rules a policy file must keep."""

    YAML = "yaml"
    YAML_ALIAS = "yaml-alias"
    YAML_DEPTH = "yaml-depth"
    YAML_KEY = "yaml-key"
    YAML_DUPLICATE_KEY = "yaml-duplicate-key"
    YAML_TAG = "yaml-tag"
    VARIABLE = "variable"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    VALUE = "value"
    INCLUDE = "include"
    INCLUDE_CLASH = "include-clash"
    UNKNOWN_ROUTE = "unknown-route"
    ROUTE_NAME_RESERVED = "route-name-reserved"
    ROUTE_NAME_TWICE = "route-name-twice"
    ROUTE_UNREACHABLE = "route-unreachable"
    ROUTE_LIMITS_WITHOUT_CALLER = "route-limits-without-caller"
    ROUTE_RULES_WITHOUT_CALLER = "route-rules-without-caller"
    UNKNOWN_TIER = "unknown-tier"
    ANONYMOUS_NEVER_PASSES = "anonymous-never-passes"
    ANONYMOUS_TIER_MISSING = "anonymous-tier-missing"
    LIMIT_NAME_CLASH = "limit-name-clash"
    JWT_TWICE = "jwt-twice"
    JWT_KEYS = "jwt-keys"
    JWT_ALGORITHMS = "jwt-algorithms"
    JWT_TIER = "jwt-tier"
    COST_ABOVE_LIMIT = "cost-above-limit"


def spell(path: Path) -> str:
    """A path as people write it: `routes[2].match.path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: where, and what to do. `line` counts from 1."""

    file: str
    line: int
    path: Path
    message: str
    rule: Rule

    @property
    def order(self) -> tuple[int, str, str]:
        """Sorts the problems of one file as people read it."""
        return self.line, spell(self.path), self.message

    def __str__(self) -> str:
        """`file:line: path: message`, the form editors and terminals make a link of."""
        return f"{self.file}:{self.line}: {spell(self.path)}: {self.message}".replace(": : ", ": ")
