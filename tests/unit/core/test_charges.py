"""What a request takes, by tier and by a caller's own limits."""

from authz_service.core.charges import charges_of, single, tier_charges
from authz_service.core.identity import Identity, Method
from authz_service.core.rules import Charge, Overrides, Period, Policy, StoreFailure
from authz_service.testing.builders import policy, quota, rate, route, tier

FREE = tier("free", rate=rate(10), quota=quota(500))
BURST = rate(5, name="burst", window_ms=10_000)


def caller(overrides: Overrides | None = None) -> Identity:
    """A caller of the tier free."""
    return Identity(subject="key:a", tier="free", method=Method.API_KEY, overrides=overrides)


def of(identity: Identity, *, cost: int = 1) -> tuple[Charge, ...]:
    """What a request of this caller takes on a route with a limit of its own."""
    asked = route(cost=cost, limits=(BURST,), tiers=[FREE])
    rules: Policy = policy([asked], tiers=[FREE])
    return charges_of(identity, asked, rules)


def test_a_request_takes_from_its_tier_and_its_route() -> None:
    """The cost from the tier's limits, 1 from the route's own."""
    assert of(caller(), cost=3) == (Charge(rate(10), 3), Charge(quota(500), 3), Charge(BURST, 1))


def test_a_cost_of_nothing_takes_nothing_from_the_tier() -> None:
    """The route's own limits count all the same."""
    assert tier_charges(FREE, 0, (BURST,), StoreFailure.LOCAL) == (Charge(BURST, 1),)
    own = Overrides(rate=rate(2))
    assert of(caller(own), cost=0) == (Charge(BURST, 1),)


def test_a_callers_own_limits_stand_in_for_the_tiers() -> None:
    """Each of the two by itself, in the policy's time zone."""
    hourly = rate(100, name="per-hour", window_ms=3_600_000)
    assert of(caller(Overrides(rate=hourly))) == (
        Charge(hourly, 1),
        Charge(quota(500), 1),
        Charge(BURST, 1),
    )
    assert of(caller(Overrides(quota=(9, Period.MONTH)))) == (
        Charge(rate(10), 1),
        Charge(quota(9, name="per-month", period=Period.MONTH), 1),
        Charge(BURST, 1),
    )


def test_no_request_takes_more_than_a_whole_limit() -> None:
    """A limit of 2 and a cost of 3: the request takes both places, and one a window passes."""
    charges = of(caller(Overrides(rate=rate(2))), cost=3)
    assert charges[0] == Charge(rate(2), 2)


def test_what_is_refused_all_the_same_costs_one() -> None:
    """The same limits, each at a cost of 1."""
    assert single((Charge(FREE.rate or BURST, 7), Charge(BURST, 1))) == (
        Charge(rate(10), 1),
        Charge(BURST, 1),
    )
