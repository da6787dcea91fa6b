"""Everything a caller is counted by, as one list: what people ask after, and what they reset."""

from collections.abc import Iterable, Iterator

from authz_service.core.rules import Limit, Overrides, Policy, Quota, Tier


def limits_of(policy: Policy, tier: Tier, overrides: Overrides | None = None) -> tuple[Limit, ...]:
    """The limits of a caller, each once: rate, quota, then those of the routes in their order.

    `overrides` are the caller's own, in place of those of the tier.
    """
    own = overrides or Overrides()
    rate = own.rate or tier.rate
    quota = _own_quota(own, policy) or tier.quota
    return _each_once((*_present(rate, quota), *_of_routes(policy)))


def all_limits(policy: Policy, overrides: Overrides | None = None) -> tuple[Limit, ...]:
    """The limits of every tier: what a caller may have been counted by, whichever tier it had."""
    own = overrides or Overrides()
    of_tiers = (_present(tier.rate, tier.quota) for tier in policy.tiers.values())
    own_limits = _present(own.rate, _own_quota(own, policy))
    return _each_once(
        (*own_limits, *(limit for limits in of_tiers for limit in limits), *_of_routes(policy))
    )


def _own_quota(overrides: Overrides, policy: Policy) -> Quota | None:
    if overrides.quota is None:
        return None
    limit, period = overrides.quota
    return Quota(name=f"per-{period}", limit=limit, period=period, zone=policy.quota_time_zone)


def _present(*limits: Limit | None) -> tuple[Limit, ...]:
    return tuple(limit for limit in limits if limit is not None)


def _of_routes(policy: Policy) -> Iterator[Limit]:
    return (limit for route in policy.routes for limit in route.limits)


def _each_once(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Limits of one kind and name share a counter; the first of them stands for it."""
    first: dict[tuple[type[Limit], str], Limit] = {}
    for limit in limits:
        first.setdefault((type(limit), limit.name), limit)
    return tuple(first.values())
