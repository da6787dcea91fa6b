"""Path patterns as sets: which of them overlap, and which methods a path knows in all."""

import re
from collections.abc import Iterable
from itertools import combinations

from authz_service.core.rules import Policy

_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")
_ANY = "{any}"


def allowed_methods(policy: Policy) -> dict[str, tuple[str, ...]]:
    """For each path pattern of the policy, the methods of all routes that serve such a path.

    Read in order, the first pattern that matches a path has exactly that path's methods: a
    pattern stands behind all that are narrower, and where two overlap, the overlap is a pattern
    of its own. Placeholders are all called `{any}`: only their places count.
    """
    patterns = _with_overlaps(_anonymous(path) for route in policy.routes for path in route.paths)
    ordered = sorted(patterns, key=lambda pattern: (pattern.count(_ANY), pattern))
    return {pattern: _methods(policy, pattern) for pattern in ordered}


def endpoint(policy: Policy, pattern: str) -> str:
    """The spelling of a pattern in the policy, if it stands there."""
    spellings = (path for route in policy.routes for path in route.paths)
    return next((path for path in spellings if _anonymous(path) == pattern), pattern)


def _methods(policy: Policy, pattern: str) -> tuple[str, ...]:
    serving = (
        method
        for route in policy.routes
        if any(_overlap(pattern, _anonymous(path)) == pattern for path in route.paths)
        for method in route.methods
    )
    return tuple(dict.fromkeys(serving))


def _anonymous(path: str) -> str:
    return _PLACEHOLDER.sub(_ANY, path)


def _with_overlaps(paths: Iterable[str]) -> set[str]:
    patterns = set(paths)
    while True:
        overlaps = {_overlap(one, other) for one, other in combinations(patterns, 2)}
        new = {overlap for overlap in overlaps if overlap is not None} - patterns
        if not new:
            return patterns
        patterns |= new


def _overlap(one: str, other: str) -> str | None:
    """The pattern of the paths that match both, or None if there are none."""
    segments, others = one.split("/"), other.split("/")
    if len(segments) != len(others):
        return None
    shared = [_narrower(a, b) for a, b in zip(segments, others, strict=True)]
    common = [segment for segment in shared if segment is not None]
    return "/".join(common) if len(common) == len(shared) else None


def _narrower(one: str, other: str) -> str | None:
    """What two segments have in common. A placeholder is never empty."""
    if one == other:
        return one
    if other == _ANY:
        return one or None
    if one == _ANY:
        return other or None
    return None
