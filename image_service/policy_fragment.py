"""The limits that handlers are marked with, as a part of the policy that the sidecar enforces."""

from collections.abc import Iterable, Mapping
from typing import Final

import yaml

from image_service.errors import ConfigurationError
from image_service.http import Endpoint
from image_service.limits import RateLimit, limits_of

_HEAD: Final = """\
# Written by `image_service policy-fragment` from the @rate_limit marks of the handlers.
# Change those and write it anew: what is changed here is lost.
"""
_UNITS: Final = {1: "second", 60: "minute", 3600: "hour"}


def policy_fragment(endpoints: Iterable[Endpoint]) -> str:
    """The limits of each route that has some, as YAML that a policy can include.

    Raises:
        ConfigurationError: the handlers of one route are marked differently.
    """
    marked: dict[str, list[Mapping[str, str]]] = {}
    problems: list[str] = []
    for endpoint in endpoints:
        limits = [_entry(limit, endpoint.route) for limit in limits_of(endpoint.handler)]
        if marked.setdefault(endpoint.route, limits) != limits:
            problems.append(
                f"{endpoint.method} {endpoint.path}: has other limits than the rest of"
                f" route {endpoint.route!r}, and the sidecar limits a route as a whole"
            )
    if problems:
        raise ConfigurationError(problems)
    limited = {route: limits for route, limits in marked.items() if limits}
    return _HEAD + yaml.safe_dump({"limits": limited}, default_flow_style=None, sort_keys=False)


def _entry(limit: RateLimit, route: str) -> Mapping[str, str]:
    return {"name": limit.name or route, "rate": _rate(limit)}


def _rate(limit: RateLimit) -> str:
    """As a policy writes it: `120/minute`, or `5 per 10s`."""
    unit = _UNITS.get(limit.window_s)
    return f"{limit.requests}/{unit}" if unit else f"{limit.requests} per {limit.window_s}s"
