"""What a client and the application are told about limits."""

import pytest

from authz_service.core.limit_headers import (
    forwarded_limits,
    limit_headers,
    longest_wait,
    seconds,
    tightest,
)
from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Charge, Limit, Period
from authz_service.testing.builders import quota, rate


def reading(limit: Limit, remaining: int, *, reset_ms: int = 0, retry_after_ms: int = 0) -> Reading:
    """What a limit said."""
    return Reading(Charge(limit, 1), remaining, reset_ms, retry_after_ms)


@pytest.mark.parametrize(
    ("milliseconds", "expected"), [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (59_999, 60)]
)
def test_seconds_are_rounded_up(milliseconds: int, expected: int) -> None:
    """Whoever waits the seconds we name never comes a millisecond too early."""
    assert seconds(milliseconds) == expected


def test_the_limit_with_the_fewest_left_speaks_for_an_admitted_request() -> None:
    """An admitted client hears of the limit that will stop it first."""
    few, many = reading(quota(), 2, reset_ms=1), reading(rate(), 9, reset_ms=60_000)
    assert tightest([many, few]) is few


def test_of_two_equally_tight_limits_the_later_reset_speaks() -> None:
    """On a tie the client hears of the limit that keeps it waiting longer."""
    soon, late = reading(rate(), 2, reset_ms=1_000), reading(quota(), 2, reset_ms=2_000)
    assert tightest([soon, late]) is late
    assert tightest([late, soon]) is late


def test_the_longest_wait_speaks_for_a_refused_request() -> None:
    """A refused client hears of the limit that keeps it out longest, not of the fullest."""
    short = reading(rate(), 0, reset_ms=90_000, retry_after_ms=30_000)
    long = reading(quota(), 1, reset_ms=50_000, retry_after_ms=50_000)
    assert longest_wait([short, long]) is long


ADMITTED = Metered(
    admitted=True,
    readings=(
        reading(rate(10), 9, reset_ms=60_000),
        reading(quota(500), 499, reset_ms=43_200_001),
    ),
)


def test_the_headers_of_an_admitted_request() -> None:
    """The headers, to the letter, of the first request of a free caller."""
    assert limit_headers(ADMITTED) == (
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "9"),
        ("x-ratelimit-reset", "60"),
        ("ratelimit", '"per-minute";r=9;t=60, "per-day";r=499;t=43201'),
        ("ratelimit-policy", '"per-minute";q=10;w=60, "per-day";q=500;w=86400'),
    )


def test_the_headers_of_a_refused_request() -> None:
    """A refused request names the limit with the longest wait and tells of all."""
    refused = Metered(
        admitted=False,
        readings=(
            reading(rate(10), 0, reset_ms=29_001, retry_after_ms=29_001),
            reading(quota(500), 490, reset_ms=43_200_000),
        ),
    )
    assert limit_headers(refused) == (
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "30"),
        ("ratelimit", '"per-minute";r=0;t=30, "per-day";r=490;t=43200'),
        ("ratelimit-policy", '"per-minute";q=10;w=60, "per-day";q=500;w=86400'),
    )


def test_the_application_gets_one_structured_list() -> None:
    """x-authz-limits carries quota, remaining, window and reset of every limit, in this order."""
    assert forwarded_limits(ADMITTED) == (
        '"per-minute";q=10;r=9;w=60;t=60, "per-day";q=500;r=499;w=86400;t=43201'
    )


@pytest.mark.parametrize(
    ("period", "window"),
    [(Period.DAY, 86_400), (Period.WEEK, 604_800), (Period.MONTH, 2_592_000)],
)
def test_a_calendar_period_has_a_nominal_window(period: Period, window: int) -> None:
    """A quota's window is told as a day, a week or thirty days."""
    metered = Metered(admitted=True, readings=(reading(quota(5, name="q", period=period), 4),))
    assert dict(limit_headers(metered))["ratelimit-policy"] == f'"q";q=5;w={window}'
