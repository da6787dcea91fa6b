"""Which route a request belongs to. Envoy decides with the same rules; a test compares both."""

import re

from authz_service.core.facts import Facts
from authz_service.core.rules import Policy, Route

# A dot segment (RFC 3986 section 5.2.4), however its dots and slashes are written, with parameters
# (section 3.3) or without: some servers drop these first. The application may resolve it to another
# path; an Envoy of ours resolves or refuses plain ones before it asks.
_DOT_SEGMENT = re.compile(
    r"(?:/|%2f|%5c|\\)(?:\.|%2e){1,2}(?=/|%2f|%5c|\\|;|%3b|\Z)", re.IGNORECASE
)

_PLACEHOLDER = re.compile(r"\{[a-z][a-z0-9_]*\}")


def is_template(path: str) -> bool:
    """Whether a policy path has placeholders."""
    return "{" in path


def template_pattern(path: str) -> str:
    """A policy path as a regular expression for whole paths: `{name}` is one non-empty segment.

    Valid, with one meaning, for Python's `re` and for RE2, which Envoy uses.
    """
    return "[^/]+".join(re.escape(literal) for literal in _PLACEHOLDER.split(path))


def covers(general: str, special: str) -> bool:
    """Whether every request path of `special` also belongs to `general`."""
    ours, theirs = general.split("/"), special.split("/")
    return len(ours) == len(theirs) and all(
        is_template(our) or our == their for our, their in zip(ours, theirs, strict=True)
    )


class RouteMatcher:
    """Finds the route of a request: by the name Envoy gives, else by method and path."""

    def __init__(self, policy: Policy) -> None:
        self._by_name = {route.name: route for route in policy.routes}
        self._ordered = [
            (frozenset(route.methods), re.compile(template_pattern(path)), route)
            for route in policy.routes
            for path in route.paths
        ]

    def find(self, facts: Facts) -> Route | None:
        """The route, or None: then the request is denied.

        Envoy's `context_extensions` name the route it matched. A name this policy does not know
        (the two sides reload at different moments) falls back to our own matching, and so does a
        check of an Envoy that names none; there a path with a dot segment belongs to no route.
        """
        named = self._by_name.get(facts.route_hint)
        if named is not None:
            return named
        return None if _DOT_SEGMENT.search(facts.path) else self.of(facts.method, facts.path)

    def of(self, method: str, path: str) -> Route | None:
        """The first route of this method and path, as an Envoy of ours chooses it."""
        for methods, pattern, route in self._ordered:
            if method in methods and pattern.fullmatch(path):
                return route
        return None
