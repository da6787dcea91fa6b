"""What descriptor files compile to: for each domain a tree that requests are looked up in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from authz_service.core.descriptors import Algorithm, DescriptorLimit
from authz_service.core.wildcard import Wildcard


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One descriptor of a file.

    Its name is `key`, or `key_value` if it has a value; `wildcard` is its name as a pattern.
    `children` are found by name; `patterns` are those of them with a wildcard, in file order.
    """

    name: str
    limit: DescriptorLimit | None = None
    wildcard: Wildcard | None = None
    share_threshold: bool = False
    value_to_metric: bool = False
    detailed_metric: bool = False
    children: Mapping[str, "Node"] = field(default_factory=lambda: MappingProxyType({}))
    patterns: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The rules of one domain. `algorithm` counts for the limits that requests bring along."""

    root: Node
    algorithm: Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorRules:
    """All domains. `digest` is equal for equal rules, however they are spread over files."""

    domains: Mapping[str, Domain]
    digest: str

    @property
    def is_empty(self) -> bool:
        """Whether there is no limit at all, be there domains or not."""
        return next(self.limits(), None) is None

    @property
    def limit_count(self) -> int:
        """How many limits there are, over all domains."""
        return sum(1 for _ in self.limits())

    def limits(self) -> Iterator[tuple[str, DescriptorLimit]]:
        """Every limit under its full name: the domain and the names of its levels, with dots."""
        for name, domain in self.domains.items():
            yield from _limits(name, domain.root)


def _limits(name: str, node: Node) -> Iterator[tuple[str, DescriptorLimit]]:
    if node.limit:
        yield name, node.limit
    for child in node.children.values():
        yield from _limits(f"{name}.{child.name}", child)
