"""How full limits are, by name."""

from prometheus_client import CollectorRegistry

from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Rate
from authz_service.observe.limit_series import LimitSeries


def reading(remaining: int, *, wait_ms: int = 0, name: str = "r", limit: int = 10) -> Reading:
    """One limit as a request found it."""
    return Reading(Charge(Rate(name=name, limit=limit, window_ms=1), 1), remaining, 5, wait_ms)


def counted(*readings: Reading) -> dict[tuple[str, str], float]:
    """What requests with these readings add up to, by limit and outcome."""
    registry = CollectorRegistry()
    series = LimitSeries()
    registry.register(series)
    for one in readings:
        series.metered(Metered(not one.retry_after_ms, (one,)))
    return {
        (sample.labels["limit"], sample.labels["outcome"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


def test_a_limit_is_near_when_less_than_a_fifth_is_left() -> None:
    """Two of ten are a fifth; one is less, and so is none."""
    assert counted(reading(9), reading(2), reading(1), reading(0)) == {
        ("r", "within"): 2,
        ("r", "near"): 2,
    }


def test_a_limit_that_refuses_is_over_and_no_other() -> None:
    """With room for a smaller request, too."""
    assert counted(reading(4, wait_ms=7), reading(0, name="s")) == {
        ("r", "over"): 1,
        ("s", "near"): 1,
    }


def test_names_are_bounded() -> None:
    """Keys may have limits of their own under any number of names."""
    names = {name for name, _ in counted(*(reading(9, name=f"n{n}") for n in range(1_000)))}
    assert len(names) == 201
    assert "other" in names
