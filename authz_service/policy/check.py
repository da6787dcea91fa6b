"""What a schema cannot say: rules that span several values of a policy."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Literal

from authz_service.core.identify import ANONYMOUS_TIER
from authz_service.core.match import covers
from authz_service.core.rules import RESERVED_ROUTE_NAMES, Tier
from authz_service.policy import limits
from authz_service.policy.check_providers import check_providers
from authz_service.policy.merge import Merged
from authz_service.policy.notation import is_name_of_a_window
from authz_service.policy.problem import Path, Rule
from authz_service.policy.schema import DefaultsPart, RouteLimitPart, RoutePart, TierPart
from authz_service.policy.shape import well_formed

Routes = list[tuple[Path, RoutePart]]


def check_meaning(merged: Merged) -> None:
    """Report every broken rule among the entries that are right in themselves."""
    routes = list(well_formed(merged, "routes", RoutePart))
    tiers = [
        limits.tier(str(path[-1]), part, zone="UTC")
        for path, part in well_formed(merged, "tiers", TierPart)
    ]
    check_providers(merged)
    _check_names(merged, routes)
    _check_reachable(merged, routes)
    _check_callers(merged, routes)
    _check_route_tiers(merged, routes)
    _check_limit_names(merged, routes, tiers)
    _check_global_limit_names(merged, routes)
    _check_costs(merged, routes, tiers)


def _check_names(merged: Merged, routes: Routes) -> None:
    first: dict[str, Path] = {}
    for path, route in routes:
        where = (*path, "name")
        shown = merged.shown(where, route.name)
        if route.name in RESERVED_ROUTE_NAMES:
            merged.report(Rule.ROUTE_NAME_RESERVED, where, f"{shown} is a route of the proxy's own")
        if first.setdefault(route.name, path) != path:
            merged.report(Rule.ROUTE_NAME_TWICE, where, f"{shown} names another route too")


def _check_reachable(merged: Merged, routes: Routes) -> None:
    """The first match decides, so a route behind a wider one would be dead text."""
    earlier: list[tuple[str, str, str]] = []
    for path, route in routes:
        name = merged.shown((*path, "name"), route.name)
        for method, pattern in product(route.match.method, route.match.path):
            for first, taken_method, taken in earlier:
                if method == taken_method and covers(taken, pattern):
                    shown = _pattern(merged, (*path, "match"), pattern)
                    merged.report(
                        Rule.ROUTE_UNREACHABLE,
                        (*path, "match"),
                        f"{method} {shown} is never reached: {first} matches it first",
                    )
            earlier.append((name, method, pattern))


def _pattern(merged: Merged, match: Path, pattern: str) -> str:
    """A path as it stands in the file."""
    said = merged.value((*match, "path"))
    place = said.index(pattern) if isinstance(said, list) else 0
    return str(merged.variable((*match, "path", place)) or pattern)


def _check_callers(merged: Merged, routes: Routes) -> None:
    """Limits belong to a caller; anonymous callers need a tier."""
    default = _default_authentication(merged)
    tiers = merged.data.get("tiers")
    has_anonymous = isinstance(tiers, dict) and ANONYMOUS_TIER in tiers
    for path, route in routes:
        authentication = route.authentication or default
        if authentication == "optional" and not has_anonymous:
            merged.report(
                Rule.ANONYMOUS_TIER_MISSING,
                path,
                f"lets anonymous callers in, but no tier is named {ANONYMOUS_TIER!r}",
            )
        if authentication == "optional" and _asks_too_much(route):
            merged.report(
                Rule.ANONYMOUS_NEVER_PASSES,
                path,
                "lets anonymous callers in and asks what they cannot have;"
                " write authentication: required",
            )
        if authentication == "none" and (route.cost or route.limits or route.forward_limits):
            itself = route.cost or route.forward_limits
            merged.report(
                Rule.ROUTE_LIMITS_WITHOUT_CALLER,
                path if itself else (*path, "limits"),  # they may stand in a fragment
                "asks for no caller (authentication: none), so it cannot have cost or limits",
            )
        if authentication == "none" and (route.tiers or route.scopes or route.credentials):
            merged.report(
                Rule.ROUTE_RULES_WITHOUT_CALLER,
                path,
                "asks for no caller (authentication: none), so it cannot ask for tiers, scopes"
                " or credentials",
            )


def _asks_too_much(route: RoutePart) -> bool:
    """Whether a route asks for what no anonymous caller has."""
    is_for_others = bool(route.tiers) and ANONYMOUS_TIER not in route.tiers
    return is_for_others or bool(route.scopes or route.credentials)


def _check_route_tiers(merged: Merged, routes: Routes) -> None:
    """A tier that nobody can have would close a route."""
    tiers = merged.data.get("tiers")
    if not isinstance(tiers, dict):
        return
    for path, route in routes:
        for place, name in enumerate(route.tiers):
            if name not in tiers:
                where = (*path, "tiers", place)
                known = ", ".join(map(str, tiers))
                merged.report(
                    Rule.UNKNOWN_TIER,
                    where,
                    f"{merged.shown(where, name)} is no tier of this policy; known are {known}",
                )


def _default_authentication(merged: Merged) -> str:
    said = merged.value(("defaults", "authentication"))
    return said if isinstance(said, str) else DefaultsPart().authentication


def _check_limit_names(merged: Merged, routes: Routes, tiers: Iterable[Tier]) -> None:
    """One name is one counter of a caller, so it must mean one limit."""
    of_tiers = {limit.name for tier in tiers for limit in (tier.rate, tier.quota) if limit}
    meanings: dict[str, RouteLimitPart] = {}
    for where, part in _each_once(merged, routes, "limits"):
        shown = merged.shown(where, part.name)
        if part.name in of_tiers:
            merged.report(Rule.LIMIT_NAME_CLASH, where, f"{shown} is the name of a tier's limit")
        elif is_name_of_a_window(part.name):
            text = f"{shown} may be the name of a key's own limit"
            merged.report(Rule.LIMIT_NAME_CLASH, where, text)
        elif meanings.setdefault(part.name, part).rate[1:] != part.rate[1:]:
            merged.report(Rule.LIMIT_NAME_CLASH, where, f"{shown} has another rate elsewhere")


def _check_global_limit_names(merged: Merged, routes: Routes) -> None:
    """One name is one counter over all callers. Nothing else is counted beside it."""
    meanings: dict[str, RouteLimitPart] = {}
    for where, part in _each_once(merged, routes, "global_limits"):
        shown = merged.shown(where, part.name)
        first = meanings.setdefault(part.name, part)
        if first.rate[1:] != part.rate[1:]:
            merged.report(Rule.LIMIT_NAME_CLASH, where, f"{shown} has another rate elsewhere")
        elif first.on_store_failure != part.on_store_failure:
            text = f"{shown} has another on_store_failure elsewhere"
            merged.report(Rule.LIMIT_NAME_CLASH, where, text)


def _each_once(
    merged: Merged, routes: Routes, key: Literal["limits", "global_limits"]
) -> Iterator[tuple[Path, RouteLimitPart]]:
    """The limits of all routes and where their names stand; reports one that a route has twice."""
    for path, route in routes:
        parts: list[RouteLimitPart] = getattr(route, key)
        names = [part.name for part in parts]
        for place, part in enumerate(parts):
            where = (*path, key, place, "name")
            if part.name in names[:place]:
                shown = merged.shown(where, part.name)
                merged.report(Rule.LIMIT_NAME_CLASH, where, f"{shown} stands in this route twice")
                continue
            yield where, part


def _check_costs(merged: Merged, routes: Routes, tiers: list[Tier]) -> None:
    """A request that takes more than a limit holds could never pass."""
    for path, route in routes:
        for tier in tiers:
            for limit in (tier.rate, tier.quota):
                if limit is None or (route.cost or 0) <= limit.limit:
                    continue
                where = (*path, "cost")
                cost = merged.shown(where, route.cost)
                name = merged.shown(("tiers", tier.name), tier.name)
                merged.report(
                    Rule.COST_ABOVE_LIMIT,
                    where,
                    f"{cost} is more than {limit.name!r} of tier {name} holds ({limit.limit})",
                )
