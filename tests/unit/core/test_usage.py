"""Which limits a caller has in all."""

from dataclasses import replace

from authz_service.core.rules import Overrides, Period, Quota
from authz_service.core.usage import all_limits, limits_of, limits_over_all, names_of
from authz_service.testing.builders import policy, quota, rate, route, tier

FREE = tier("free", rate=rate(10), quota=quota(500))
SLOW = tier("slow", rate=rate(1, name="per-hour", window_ms=3_600_000))
BARE = tier("bare")
WRITES, BURST = rate(5, name="writes"), rate(2, name="burst", window_ms=1_000)
POLICY = policy(
    [route("one", limits=(WRITES,)), route("two", limits=(BURST, WRITES)), route("three")],
    tiers=[FREE, SLOW, BARE],
)


def test_a_caller_has_the_limits_of_its_tier_and_each_route_limit_once() -> None:
    """Rate and quota first, then the routes' own in their order, a shared one once."""
    assert limits_of(POLICY, FREE) == (rate(10), quota(500), WRITES, BURST)


def test_a_tier_without_limits_leaves_those_of_the_routes() -> None:
    """They hold for every caller."""
    assert limits_of(POLICY, BARE) == (WRITES, BURST)


def test_a_callers_own_limits_stand_in_place_of_the_tiers() -> None:
    """What is not overridden stays; an own quota is of the policy's time zone."""
    own = rate(100, name="per-10s", window_ms=10_000)
    assert limits_of(POLICY, FREE, Overrides(rate=own)) == (own, quota(500), WRITES, BURST)
    month = Quota(name="per-month", limit=9, period=Period.MONTH, zone="UTC")
    overrides = Overrides(quota=(9, Period.MONTH))
    assert limits_of(POLICY, FREE, overrides) == (rate(10), month, WRITES, BURST)


def test_all_limits_are_those_of_every_tier() -> None:
    """A caller whose tier has changed may have counters of the former one; each counts once."""
    hour = rate(1, name="per-hour", window_ms=3_600_000)
    assert all_limits(POLICY) == (rate(10), quota(500), hour, WRITES, BURST)
    own = rate(100)
    expected = (own, quota(500), hour, WRITES, BURST)
    assert all_limits(POLICY, Overrides(rate=own)) == expected


def test_a_log_and_buckets_of_one_name_are_two_counters() -> None:
    """Two tiers on either side of 1,000 a minute: a caller may have been counted in both ways."""
    large = tier("large", rate=rate(1_001))
    limits = all_limits(policy([route()], tiers=[FREE, large]))
    assert limits == (rate(10), quota(500), rate(1_001))
    assert names_of(limits) == ["per-minute", "per-day"]


def test_a_rate_and_a_quota_of_one_name_are_two_counters() -> None:
    """Only the same kind under the same name is the same."""
    named = policy([route(limits=(rate(5, name="x"),))], tiers=[tier(quota=quota(5, name="x"))])
    assert [type(limit).__name__ for limit in all_limits(named)] == ["Quota", "Rate"]


def test_limits_over_all_callers_are_those_of_every_route_once() -> None:
    """In the order of the routes; limits of callers are not among them."""
    total = rate(600, name="total")
    one = replace(route("one", limits=(WRITES,)), global_limits=(total,))
    two = replace(route("two"), global_limits=(BURST, total))
    assert limits_over_all(policy([one, two], tiers=[FREE])) == (total, BURST)
    assert limits_over_all(POLICY) == ()
