"""What the descriptors of a request take from which counters."""

from dataclasses import replace

import pytest

from authz_service.core.descriptor_hits import hits_of
from authz_service.core.descriptors import Algorithm, DescriptorLimit, Entry, Resolved, Unit
from authz_service.core.hits import Fixed, Hit, Says
from authz_service.core.rules import Rate
from authz_service.testing.descriptors import limit_of


def resolved(limit: DescriptorLimit | None, value: str = "a", hits: int = 1) -> Resolved:
    """One descriptor of a request with its limit."""
    return Resolved(limit=limit, counted_as=(Entry("user", value),), hits=hits)


def says(*limits: DescriptorLimit | None, all_quota: bool = False) -> list[Says | None]:
    """What each of these limits means for the request."""
    asked = [resolved(limit, str(place)) for place, limit in enumerate(limits)]
    return [hit.says if hit else None for hit in hits_of("shop", asked, all_quota=all_quota)]


def test_a_hit_is_a_counter_a_window_and_a_cost() -> None:
    """The counter is named by the entries, the window by its length."""
    rate = Rate(name="60s", limit=5, window_ms=60_000)
    assert hits_of("shop", [resolved(limit_of(5), hits=3)], all_quota=False) == (
        Hit("descriptor:shop,user=a", rate, cost=3),
    )


def test_a_fixed_limit_is_counted_in_fixed_windows() -> None:
    """Several units are one window."""
    limit = DescriptorLimit(
        requests_per_unit=5, unit=Unit.HOUR, multiplier=2, algorithm=Algorithm.FIXED
    )
    [hit] = hits_of("shop", [resolved(limit)], all_quota=False)
    assert hit is not None
    assert hit.limit == Fixed(name="7200s", limit=5, window_ms=7_200_000)


@pytest.mark.parametrize("limit", [None, DescriptorLimit(unit=None)])
def test_what_has_no_limit_has_no_counter(limit: DescriptorLimit | None) -> None:
    """Nor has what is unlimited; those beside it are counted."""
    assert says(limit, limit_of(5)) == [None, Says.REFUSES]


def test_a_descriptor_says_what_its_rule_says() -> None:
    """One in quota mode refuses with all its kind, one in shadow refuses nothing."""
    assert says(limit_of(5), limit_of(5, quota=True), limit_of(5, shadow=True)) == [
        Says.REFUSES,
        Says.QUOTA,
        Says.SHADOW,
    ]


def test_a_switch_puts_every_descriptor_into_quota_mode() -> None:
    """Those in shadow stay there."""
    assert says(limit_of(5), limit_of(6), all_quota=True) == [Says.QUOTA, Says.QUOTA]


@pytest.mark.parametrize("never_over", [None, DescriptorLimit(unit=None)])
def test_with_the_switch_what_has_no_limit_keeps_the_others_from_refusing(
    never_over: DescriptorLimit | None,
) -> None:
    """All would have to be over, and this one never is; an unlimited one has no part in it."""
    expected = Says.SHADOW if never_over is None else Says.QUOTA
    assert says(never_over, limit_of(5), all_quota=True) == [None, expected]


def test_quotas_do_not_refuse_beside_one_in_shadow() -> None:
    """It is never over, so not all of them are."""
    in_shadow = replace(limit_of(5, quota=True), shadow=True)
    assert says(limit_of(5, quota=True), in_shadow) == [Says.SHADOW, Says.SHADOW]
