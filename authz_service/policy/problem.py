"""What can be wrong with a policy. Every rule has a name, and a broken example in the tests."""

from dataclasses import dataclass
from enum import StrEnum


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
    UNSUPPORTED = "unsupported"
    INCLUDE = "include"
    INCLUDE_CLASH = "include-clash"
    ROUTE_NAME_TWICE = "route-name-twice"
    ROUTE_UNREACHABLE = "route-unreachable"
    ROUTE_LIMITS_WITHOUT_CALLER = "route-limits-without-caller"
    ANONYMOUS_TIER_MISSING = "anonymous-tier-missing"
    LIMIT_NAME_CLASH = "limit-name-clash"
    COST_ABOVE_LIMIT = "cost-above-limit"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One broken rule: where, and what to do. `line` counts from 1."""

    file: str
    line: int
    path: str
    message: str
    rule: Rule

    def __str__(self) -> str:
        """`file:line: path: message`, the form editors and terminals make a link of."""
        return f"{self.file}:{self.line}: {self.path}: {self.message}".replace(": : ", ": ")
