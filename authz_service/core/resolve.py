"""Which limit each descriptor of a request falls under, and what it counts under.

One level of the rules answers one entry, and nothing is tried twice: where a value has a rule of
its own, the rule for all values of the key is out, even if the first leads to no limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from authz_service.core.descriptor_rules import DescriptorRules, Domain, Node
from authz_service.core.descriptors import (
    Descriptor,
    DescriptorLimit,
    Entry,
    Override,
    RateLimitRequest,
    Resolved,
)


class Unanswerable(StrEnum):
    """Why a request has no answer. The first three in the words that clients may know."""

    NO_DOMAIN = "rate limit domain must not be empty"
    NO_DESCRIPTORS = "rate limit descriptor list must not be empty"
    NO_RULES = "no rate limit configuration loaded"
    UNKNOWN_UNIT = "rate limit override has an unknown unit"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The limits of a request, one for each descriptor in its order."""

    is_domain_known: bool
    resolved: tuple[Resolved, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """One entry and the node it led to."""

    entry: Entry
    node: Node
    is_named: bool  # by key and value, rather than as any value of a key


def resolve(rules: DescriptorRules | None, request: RateLimitRequest) -> Resolution | Unanswerable:
    """Resolve every descriptor. The order of the descriptors plays no part.

    In a domain that is not known nothing is limited, whatever the request brings along.
    """
    if not request.domain:
        return Unanswerable.NO_DOMAIN
    if not request.descriptors:
        return Unanswerable.NO_DESCRIPTORS
    if rules is None:
        return Unanswerable.NO_RULES
    domain = rules.domains.get(request.domain)
    if domain is None:
        nothing = tuple(Resolved(limit=None, hits=_hits(it, request)) for it in request.descriptors)
        return Resolution(is_domain_known=False, resolved=nothing)
    if any(it.override and it.override.unit is None for it in request.descriptors):
        return Unanswerable.UNKNOWN_UNIT
    resolved = [_resolve(domain, it, _hits(it, request)) for it in request.descriptors]
    return Resolution(is_domain_known=True, resolved=tuple(_without_replaced(resolved)))


def _hits(descriptor: Descriptor, request: RateLimitRequest) -> int:
    return (request.hits_addend or 1) if descriptor.hits_addend is None else descriptor.hits_addend


def _resolve(domain: Domain, descriptor: Descriptor, hits: int) -> Resolved:
    if descriptor.override:
        return _overridden(domain, descriptor.override, descriptor.entries, hits)
    steps = _walk(domain.root, descriptor.entries)
    limit = steps[-1].node.limit if steps else None
    if limit is None:
        return Resolved(limit=None, hits=hits)
    in_detail = steps[-1].node.detailed_metric
    return Resolved(
        limit=limit,
        counted_as=tuple(map(_counted, steps)),
        measured_as=tuple(_detailed(steps) if in_detail else map(_measured, steps)),
        hits=hits,
    )


def _overridden(
    domain: Domain, override: Override, entries: tuple[Entry, ...], hits: int
) -> Resolved:
    limit = DescriptorLimit(
        requests_per_unit=override.requests_per_unit,
        unit=override.unit,
        algorithm=domain.algorithm,
    )
    return Resolved(
        limit=limit, counted_as=entries, measured_as=tuple(map(_spelled, entries)), hits=hits
    )


def _walk(root: Node, entries: Iterable[Entry]) -> list[_Step]:
    """A step for every entry, or nothing if one of them leads nowhere."""
    steps: list[_Step] = []
    level = root
    for entry in entries:
        step = _step(level, entry)
        if step is None:
            return []
        steps.append(step)
        level = step.node
    return steps


def _step(level: Node, entry: Entry) -> _Step | None:
    """By key and value, by the first pattern that fits both, or by the key alone."""
    name = f"{entry.key}_{entry.value}"
    node = level.children.get(name) or next(
        (it for it in level.patterns if it.wildcard and it.wildcard.matches(name)), None
    )
    if node:
        return _Step(entry, node, is_named=True)
    node = level.children.get(entry.key)
    return _Step(entry, node, is_named=False) if node else None


def _shares(step: _Step) -> bool:
    return step.node.share_threshold and step.node.wildcard is not None


def _counted(step: _Step) -> Entry:
    if _shares(step):
        return Entry(step.entry.key, step.node.name, is_pattern=True)
    return step.entry


def _measured(step: _Step) -> str:
    """The level as files name it, but for values that are asked for."""
    is_pattern = step.node.wildcard is not None
    if step.is_named and is_pattern and (_shares(step) or not step.node.value_to_metric):
        return _pattern(step)
    if step.is_named or step.node.value_to_metric:
        return _spelled(step.entry)
    return step.entry.key


def _detailed(steps: list[_Step]) -> list[str]:
    """Every level with its value. An empty one leaves its line, unless values are shared."""
    if any(map(_shares, steps)):
        return [_pattern(it) if _shares(it) else _spelled(it.entry) for it in steps]
    return [f"{it.entry.key}_{it.entry.value}" for it in steps]


def _pattern(step: _Step) -> str:
    prefix = f"{step.entry.key}_"
    return prefix + step.node.name.removeprefix(prefix)


def _spelled(entry: Entry) -> str:
    return f"{entry.key}_{entry.value}" if entry.value else entry.key


def _without_replaced(resolved: list[Resolved]) -> Iterable[Resolved]:
    """Drop the limits that others of the same request stand in for.

    One that is unlimited stays what it is.
    """
    replaced = {name for it in resolved if it.limit for name in it.limit.replaces}
    for it in resolved:
        if it.limit and it.limit.unit and it.limit.name in replaced:
            yield replace(it, limit=None, counted_as=(), measured_as=())
        else:
            yield it
