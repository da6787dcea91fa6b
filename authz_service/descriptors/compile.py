"""The parts of all files to rules, or every problem at once. Does no I/O."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from authz_service.core.descriptor_rules import DescriptorRules, Domain, Node
from authz_service.core.descriptors import Algorithm, DescriptorLimit, Unit
from authz_service.core.global_limits import DOMAIN as POLICY_DOMAIN
from authz_service.core.wildcard import wildcard
from authz_service.descriptors.parts import DescriptorPart, FilePart, RateLimitPart
from authz_service.descriptors.problem import Problem, Rule

Names = tuple[str, ...]

_MAX_SHOWN = 1_000  # names repeat in the messages of all that stands below them


@dataclass(frozen=True, slots=True)
class PlacedLimit:
    """A limit, the names of its domain and of its levels, and where it stands."""

    file: str
    line: int
    names: Names
    limit: DescriptorLimit


@dataclass(slots=True)
class Compiled:
    """Rules, as far as the files are right, with all that is wrong and every limit's place."""

    rules: DescriptorRules
    problems: list[Problem] = field(default_factory=list)
    limits: list[PlacedLimit] = field(default_factory=list)


@dataclass(slots=True)
class _Level:
    """The children of one node while files are read into it."""

    children: dict[str, Node] = field(default_factory=dict)

    @property
    def patterns(self) -> tuple[Node, ...]:
        return tuple(it for it in self.children.values() if it.wildcard)


def compile_files(
    files: Sequence[FilePart], *, merge_domains: bool, algorithm: Algorithm
) -> Compiled:
    """Build the rules of `files`, in their order.

    With `merge_domains` several files may have rules for one domain. `algorithm` counts where
    neither a limit nor its file says how.
    """
    compiler = _Compiler(algorithm)
    levels: dict[str, _Level] = {}
    algorithms: dict[str, Algorithm] = {}
    for file in files:
        if not file.domain:
            compiler.report(Rule.EMPTY_DOMAIN, file, 1, "config file cannot have empty domain")
        elif file.domain in levels and not merge_domains:
            text = f"duplicate domain '{file.domain}' in config file"
            compiler.report(Rule.DUPLICATE_DOMAIN, file, 1, text)
        elif file.domain == POLICY_DOMAIN:
            text = f"domain '{file.domain}' is that of the policy's own limits"
            compiler.report(Rule.RESERVED_DOMAIN, file, 1, text)
        algorithms.setdefault(file.domain, file.algorithm or algorithm)
        is_alone = not merge_domains or not file.domain
        level = _Level() if is_alone else levels.get(file.domain, _Level())
        compiler.fill(level, file, (file.domain,), file.descriptors)
        levels.setdefault(file.domain, level)
    domains = {
        name: Domain(
            root=Node(name="", children=MappingProxyType(level.children), patterns=level.patterns),
            algorithm=algorithms[name],
        )
        for name, level in levels.items()
    }
    rules = DescriptorRules(domains=MappingProxyType(domains), digest=_digest(domains))
    return Compiled(rules, compiler.problems, compiler.limits)


class _Compiler:
    """Builds nodes and notes what is wrong."""

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self.problems: list[Problem] = []
        self.limits: list[PlacedLimit] = []

    def report(self, rule: Rule, file: FilePart, line: int, text: str) -> None:
        self.problems.append(Problem(rule, file.file, line, text))

    def fill(
        self, level: _Level, file: FilePart, parents: Names, parts: Sequence[DescriptorPart]
    ) -> None:
        """Read descriptors into the level below `parents`."""
        for part in parts:
            name = f"{part.key}_{part.value}" if part.value else part.key
            names = (*parents, name)
            if not part.key:
                self.report(Rule.EMPTY_KEY, file, part.line, "descriptor has empty key")
            elif name in level.children:
                text = f"duplicate descriptor composite key '{_path(names)}'"
                self.report(Rule.DUPLICATE_KEY, file, part.line, text)
            level.children[name] = self._node(file, part, names)

    def _node(self, file: FilePart, part: DescriptorPart, names: Names) -> Node:
        name = names[-1]
        pattern = wildcard(name)
        limit = self._limit(file, part, part.rate_limit) if part.rate_limit else None
        if limit and part.rate_limit:
            self.limits.append(PlacedLimit(file.file, part.rate_limit.line, names, limit))
        if part.share_threshold and not pattern:
            text = (
                "share_threshold can only be used with wildcard values (containing '*'),"
                f" but found key '{name}'"
            )
            self.report(Rule.SHARE_THRESHOLD, file, part.line, text)
        inside = _Level()
        self.fill(inside, file, names, part.descriptors)
        return Node(
            name=name,
            limit=limit,
            wildcard=pattern,
            share_threshold=part.share_threshold,
            value_to_metric=part.value_to_metric,
            detailed_metric=part.detailed_metric,
            children=MappingProxyType(inside.children),
            patterns=inside.patterns,
        )

    def _limit(
        self, file: FilePart, part: DescriptorPart, said: RateLimitPart
    ) -> DescriptorLimit | None:
        unit = Unit.__members__.get(said.unit.upper())
        if said.unlimited and unit:
            text = "should not specify rate limit unit when unlimited"
            self.report(Rule.UNLIMITED_UNIT, file, said.line, text)
        elif not said.unlimited and not unit:
            self.report(Rule.UNIT, file, said.line, f"invalid rate limit unit '{said.unit}'")
        self._check_replaces(file, said)
        if not said.unlimited and not unit:
            return None
        return DescriptorLimit(
            requests_per_unit=said.requests_per_unit,
            unit=None if said.unlimited else unit,
            multiplier=said.multiplier,
            algorithm=said.algorithm or file.algorithm or self._algorithm,
            name=said.name,
            replaces=said.replaces,
            shadow=part.shadow_mode,
            quota=part.quota_mode,
            metadata=part.metadata,
            on_store_failure=said.on_store_failure,
        )

    def _check_replaces(self, file: FilePart, said: RateLimitPart) -> None:
        for name in said.replaces:
            if not name:
                text = "should not have an empty replaces entry"
                self.report(Rule.EMPTY_REPLACES, file, said.line, text)
            elif name == said.name:
                text = "replaces should not contain name of same descriptor"
                self.report(Rule.REPLACES_ITSELF, file, said.line, text)


def _path(names: Names) -> str:
    """Names with dots between, as much as a message should hold."""
    path = ".".join(names)
    return path if len(path) <= _MAX_SHOWN else f"{path[:_MAX_SHOWN]}..."


def _digest(domains: Mapping[str, Domain]) -> str:
    data = {name: [it.algorithm, _as_data(it.root)] for name, it in domains.items()}
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _as_data(node: Node) -> list[object]:
    """All that a node says. The order of its children only matters among patterns."""
    return [
        limit_as_data(node.limit),
        [node.share_threshold, node.value_to_metric, node.detailed_metric],
        {name: _as_data(child) for name, child in node.children.items()},
        [it.name for it in node.patterns],
    ]


def limit_as_data(limit: DescriptorLimit | None) -> dict[str, object] | None:
    """All that a limit says, as JSON has it."""
    if limit is None:
        return None
    return {
        "unit": limit.unit.name.lower() if limit.unit else None,
        "unit_multiplier": limit.multiplier,
        "requests_per_unit": limit.requests_per_unit,
        "algorithm": limit.algorithm.value,
        "name": limit.name,
        "replaces": list(limit.replaces),
        "shadow_mode": limit.shadow,
        "quota_mode": limit.quota,
        "metadata": limit.metadata,
        "on_store_failure": limit.on_store_failure.value,
    }
