"""What one request takes: the tier's limits, or the caller's own, and those of the route."""

from authz_service.core.identity import Identity
from authz_service.core.rules import (
    Charge,
    Limit,
    Overrides,
    Period,
    Policy,
    Quota,
    Rate,
    Route,
    Tier,
)


def tier_charges(tier: Tier, cost: int, route_limits: tuple[Rate, ...]) -> tuple[Charge, ...]:
    """Everything one request takes: `cost` from the tier's limits, 1 from the route's own.

    A limit of which a request takes nothing has no part in it.
    """
    return _charges((tier.rate, tier.quota), cost, route_limits)


def charges_of(identity: Identity, route: Route, policy: Policy) -> tuple[Charge, ...]:
    """What a request of this caller takes on a route.

    A caller's own limit may be smaller than what a request costs: then it takes the whole limit.
    """
    if identity.overrides is None:
        return route.charges[identity.tier]
    limits = own_limits(policy.tiers[identity.tier], identity.overrides, policy.quota_time_zone)
    return _charges(limits, route.cost, route.limits)


def single(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The same limits at a cost of 1: what a request takes that is refused all the same."""
    return tuple(Charge(charge.limit, 1) for charge in charges)


def _charges(
    limits: tuple[Limit | None, ...], cost: int, route_limits: tuple[Rate, ...]
) -> tuple[Charge, ...]:
    own = tuple(Charge(limit, 1) for limit in route_limits)
    if cost == 0:
        return own
    return tuple(Charge(limit, min(cost, limit.limit)) for limit in limits if limit) + own


def own_limits(tier: Tier, overrides: Overrides, zone: str) -> tuple[Limit | None, ...]:
    """A caller's rate and quota: its own, or else those of its tier."""
    if overrides.quota is None:
        return (overrides.rate or tier.rate, tier.quota)
    limit, period = overrides.quota
    return (overrides.rate or tier.rate, quota(limit, period, zone))


def quota(limit: int, period: Period, zone: str) -> Quota:
    """A quota under the name that all of its kind share."""
    return Quota(name=f"per-{period}", limit=limit, period=period, zone=zone)
