"""What one request takes: the tier's limits, or the caller's own, and those of the route."""

from dataclasses import replace

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
    StoreFailure,
    Tier,
)


def tier_charges(
    tier: Tier, cost: int, route_limits: tuple[Rate, ...], on_store_failure: StoreFailure
) -> tuple[Charge, ...]:
    """Everything one request takes: `cost` from the tier's limits, 1 from the route's own.

    A limit of which a request takes nothing has no part in it. `on_store_failure` is for limits
    that say nothing themselves.
    """
    return _charges((tier.rate, tier.quota), cost, route_limits, on_store_failure)


def charges_of(identity: Identity, route: Route, policy: Policy) -> tuple[Charge, ...]:
    """What a request of this caller takes on a route.

    A caller's own limit may be smaller than what a request costs: then it takes the whole limit.
    """
    if identity.overrides is None:
        return route.charges[identity.tier]
    limits = own_limits(policy.tiers[identity.tier], identity.overrides, policy.quota_time_zone)
    return _charges(limits, route.cost, route.limits, route.on_store_failure)


def single(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The same limits at a cost of 1: what a request takes that is refused all the same."""
    return tuple(replace(charge, cost=1) for charge in charges)


def _charges(
    limits: tuple[Limit | None, ...],
    cost: int,
    route_limits: tuple[Rate, ...],
    on_store_failure: StoreFailure,
) -> tuple[Charge, ...]:
    asked = [(limit, min(cost, limit.limit)) for limit in limits if limit and cost]
    asked += [(limit, 1) for limit in route_limits]
    return tuple(
        Charge(limit, taken, limit.on_store_failure or on_store_failure) for limit, taken in asked
    )


def own_limits(tier: Tier, overrides: Overrides, zone: str) -> tuple[Limit | None, ...]:
    """A caller's rate and quota: its own, or else those of its tier.

    While the store is away, a caller's own limit is treated as that of the tier in its place.
    """
    return (_own_rate(tier.rate, overrides.rate), _own_quota(tier.quota, overrides.quota, zone))


def _own_rate(of_tier: Rate | None, own: Rate | None) -> Rate | None:
    if own is None or of_tier is None:
        return own or of_tier
    return replace(own, on_store_failure=of_tier.on_store_failure)


def _own_quota(of_tier: Quota | None, own: tuple[int, Period] | None, zone: str) -> Quota | None:
    if own is None:
        return of_tier
    return quota(*own, zone, of_tier.on_store_failure if of_tier else None)


def quota(
    limit: int, period: Period, zone: str, on_store_failure: StoreFailure | None = None
) -> Quota:
    """A quota under the name that all of its kind share."""
    return Quota(
        name=f"per-{period}",
        limit=limit,
        period=period,
        zone=zone,
        on_store_failure=on_store_failure,
    )
