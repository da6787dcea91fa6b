"""Everything a subject is counted by, as one list: what people ask after, and what they reset."""

from collections.abc import Iterable
from itertools import chain

from authz_service.core.charges import own_limits
from authz_service.core.counter_key import counter_kind
from authz_service.core.hits import Fixed
from authz_service.core.rules import Limit, Overrides, Policy, Tier


def limits_of(policy: Policy, tier: Tier, overrides: Overrides | None = None) -> tuple[Limit, ...]:
    """The limits of a caller, each once: rate, quota, then those of the routes in their order.

    `overrides` are the caller's own, in place of those of the tier.
    """
    own = own_limits(tier, overrides or Overrides(), policy.quota_time_zone)
    return _each_once(chain(own, _of_routes(policy)))


def all_limits(policy: Policy, overrides: Overrides | None = None) -> tuple[Limit, ...]:
    """The limits of every tier: what a caller may have been counted by, whichever tier it had."""
    own = overrides or Overrides()
    tiers = policy.tiers.values()
    with_own = (own_limits(tier, own, policy.quota_time_zone) for tier in tiers)
    without = ((tier.rate, tier.quota) for tier in tiers)
    return _each_once(chain(*with_own, *without, _of_routes(policy)))


def limits_over_all(policy: Policy) -> tuple[Limit, ...]:
    """The limits over all callers together."""
    return _each_once(limit for route in policy.routes for limit in route.global_limits)


def names_of(limits: Iterable[Limit | Fixed]) -> list[str]:
    """Each name once: one may stand for a counter of each kind."""
    return list(dict.fromkeys(limit.name for limit in limits))


def _of_routes(policy: Policy) -> Iterable[Limit]:
    return (limit for route in policy.routes for limit in route.limits)


def _each_once(limits: Iterable[Limit | None]) -> tuple[Limit, ...]:
    """Limits of one kind and name share a counter; the first of them stands for it."""
    first: dict[tuple[str, str], Limit] = {}
    for limit in limits:
        if limit is not None:
            first.setdefault((counter_kind(limit), limit.name), limit)
    return tuple(first.values())
