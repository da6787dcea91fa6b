"""Limits, sizes and times as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.commands.words import aligned, limit_in_words, size_in_words, time_in_words
from authz_service.core.rules import Period, Quota, Rate
from authz_service.policy import notation


@pytest.mark.parametrize(
    "text",
    [
        "10/minute",
        "1/second",
        "100/hour",
        "3/day",
        "5 per 10s",
        "7 per 90m",
        "2 per 36h",
        "9 per 3d",
    ],
)
def test_a_rate_is_told_as_a_policy_writes_it(text: str) -> None:
    """Read and told again, the notation is the same."""
    name, limit, window_ms = notation.rate(text)
    assert limit_in_words(Rate(name=name, limit=limit, window_ms=window_ms)) == text


@given(st.integers(1, 1_000_000_000), st.integers(1, 999_999))  # as many digits as the notation has
def test_any_rate_is_told_in_a_notation_that_means_it(limit: int, seconds: int) -> None:
    """Whatever the window, reading the words gives the same limit."""
    told = limit_in_words(Rate(name="any", limit=limit, window_ms=seconds * 1_000))
    assert notation.rate(told)[1:] == (limit, seconds * 1_000)


@pytest.mark.parametrize("period", Period)
def test_a_quota_is_told_as_a_policy_writes_it(period: Period) -> None:
    """`500/day`."""
    told = limit_in_words(Quota(name="any", limit=500, period=period, zone="UTC"))
    assert notation.quota(told) == (500, period)


@given(st.integers(1, 999_999_999))
def test_any_size_is_told_in_a_notation_that_means_it(size: int) -> None:
    """`5MB`, `64KiB`, `100B`."""
    assert notation.size(size_in_words(size)) == size


def test_a_size_has_the_largest_unit_that_fits() -> None:
    """Whole megabytes, else whole kibibytes, else bytes."""
    assert [size_in_words(size) for size in (5 << 20, 64 << 10, 1_000)] == ["5MB", "64KiB", "1000B"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *[(0, "0 s"), (119, "119 s"), (120, "2 min"), (121, "3 min"), (7_199, "120 min")],
        *[(7_200, "2 h"), (86_400, "24 h"), (172_800, "2 d"), (2_592_000, "30 d")],
    ],
)
def test_a_time_is_told_roughly_and_never_too_short(seconds: int, told: str) -> None:
    """In the largest unit of which there are two, rounded up."""
    assert time_in_words(seconds) == told


def test_rows_stand_in_columns() -> None:
    """Each as wide as its widest cell, nothing at the end of a line."""
    assert aligned([("a", "bbb", ""), ("aa", "b", "c")]) == ["a   bbb", "aa  b    c"]
