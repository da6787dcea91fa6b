"""What a schema cannot say: rules that span several values of a policy."""

from collections.abc import Iterable

from authz_service.core.identify import ANONYMOUS_TIER
from authz_service.core.match import covers
from authz_service.core.rules import Tier
from authz_service.policy import limits
from authz_service.policy.merge import Merged
from authz_service.policy.parse import Path
from authz_service.policy.problem import Rule
from authz_service.policy.schema import DefaultsPart, RoutePart, TierPart
from authz_service.policy.shape import well_formed

Routes = list[tuple[Path, RoutePart]]


def check_meaning(merged: Merged) -> None:
    """Report every broken rule among the entries that are right in themselves."""
    routes = list(well_formed(merged, "routes", RoutePart))
    tiers = [
        limits.tier(str(path[-1]), part, zone="UTC")
        for path, part in well_formed(merged, "tiers", TierPart)
    ]
    _check_supported(merged)
    _check_names(merged, routes)
    _check_reachable(merged, routes)
    _check_callers(merged, routes)
    _check_limit_names(merged, routes, tiers)
    _check_costs(merged, routes, tiers)


def _check_supported(merged: Merged) -> None:
    """Refuse what this version would only pretend to enforce."""
    if merged.value(("jwt",)):
        merged.report(Rule.UNSUPPORTED, ("jwt",), "token providers are not supported yet")
    if merged.value(("defaults", "shadow")) is True:
        merged.report(Rule.UNSUPPORTED, ("defaults", "shadow"), "shadow is not supported yet")


def _check_names(merged: Merged, routes: Routes) -> None:
    first: dict[str, Path] = {}
    for path, route in routes:
        if first.setdefault(route.name, path) != path:
            merged.report(
                Rule.ROUTE_NAME_TWICE, (*path, "name"), f"{route.name!r} names another route too"
            )


def _check_reachable(merged: Merged, routes: Routes) -> None:
    """The first match decides, so a route behind a wider one would be dead text."""
    earlier: list[tuple[str, str, str]] = []
    for path, route in routes:
        for method in route.match.method:
            for pattern in route.match.path:
                for name, taken_method, taken in earlier:
                    if method == taken_method and covers(taken, pattern):
                        merged.report(
                            Rule.ROUTE_UNREACHABLE,
                            (*path, "match"),
                            f"{method} {pattern} is never reached: {name!r} matches it first",
                        )
                earlier.append((route.name, method, pattern))


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
        if authentication == "none" and (route.cost or route.limits or route.forward_limits):
            merged.report(
                Rule.ROUTE_LIMITS_WITHOUT_CALLER,
                path,
                "asks for no caller (authentication: none), so it cannot have cost or limits",
            )


def _default_authentication(merged: Merged) -> str:
    said = merged.value(("defaults", "authentication"))
    return said if isinstance(said, str) else DefaultsPart().authentication


def _check_limit_names(merged: Merged, routes: Routes, tiers: Iterable[Tier]) -> None:
    """One name is one counter of a caller, so it must mean one limit."""
    of_tiers = {limit.name for tier in tiers for limit in (tier.rate, tier.quota) if limit}
    meanings: dict[str, tuple[str, int, int]] = {}
    for path, route in routes:
        names = [part.name for part in route.limits]
        for place, part in enumerate(route.limits):
            where = (*path, "limits", place, "name")
            if part.name in names[:place]:
                merged.report(
                    Rule.LIMIT_NAME_CLASH, where, f"{part.name!r} stands in this route twice"
                )
            elif part.name in of_tiers:
                merged.report(
                    Rule.LIMIT_NAME_CLASH, where, f"{part.name!r} is the name of a tier's limit"
                )
            elif meanings.setdefault(part.name, part.rate)[1:] != part.rate[1:]:
                merged.report(
                    Rule.LIMIT_NAME_CLASH, where, f"{part.name!r} has another rate elsewhere"
                )


def _check_costs(merged: Merged, routes: Routes, tiers: list[Tier]) -> None:
    """A request that takes more than a limit holds could never pass."""
    for path, route in routes:
        for tier in tiers:
            for limit in (tier.rate, tier.quota):
                if limit is not None and (route.cost or 0) > limit.limit:
                    merged.report(
                        Rule.COST_ABOVE_LIMIT,
                        (*path, "cost"),
                        f"{route.cost} is more than {limit.name!r} of tier {tier.name!r} holds"
                        f" ({limit.limit})",
                    )
