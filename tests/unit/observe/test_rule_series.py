"""Hits of descriptor rules, by domain and rule."""

from prometheus_client import CollectorRegistry

from authz_service.core.descriptor_metrics import Increments
from authz_service.observe.rule_series import RuleSeries

PREFIX = "ratelimit_service_rate_limit_"


def collected(series: RuleSeries) -> dict[tuple[str, str, str], float]:
    """All values that are not nothing, by series, domain and rule."""
    registry = CollectorRegistry()
    registry.register(series)
    return {
        (sample.name.removeprefix(PREFIX), sample.labels["domain"], sample.labels["rule"]): (
            sample.value
        )
        for family in registry.collect()
        for sample in family.samples
        if sample.value
    }


def test_hits_add_up_by_what_became_of_them() -> None:
    """Each number under its own series."""
    series = RuleSeries()
    hit = Increments(total_hits=9, within_limit=5, near_limit=2, over_limit=4, shadow_mode=3)
    series.hit("shop", "shop.a", hit)
    series.hit("shop", "shop.a", Increments(total_hits=1))
    series.hit("shop", "shop.b", Increments(total_hits=7))
    assert collected(series) == {
        ("total_hits_total", "shop", "shop.a"): 10,
        ("within_limit_total", "shop", "shop.a"): 5,
        ("near_limit_total", "shop", "shop.a"): 2,
        ("over_limit_total", "shop", "shop.a"): 4,
        ("shadow_mode_total", "shop", "shop.a"): 3,
        ("total_hits_total", "shop", "shop.b"): 7,
    }


def test_rules_are_bounded() -> None:
    """A rule may put values of requests into its name; what comes late is counted together."""
    series = RuleSeries()
    for number in range(5_000):
        series.hit("shop", f"shop.user_{number}", Increments(total_hits=1))
    found = collected(series)
    assert len(found) == 2_001
    assert found["total_hits_total", "other", ""] == 3_000


def test_names_are_cut() -> None:
    """Values of requests are as long as clients like."""
    series = RuleSeries()
    series.hit("shop", "x" * 60_000, Increments(total_hits=1))
    assert [len(rule) for _, _, rule in collected(series)] == [200]
