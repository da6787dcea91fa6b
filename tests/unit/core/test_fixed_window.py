"""Windows that begin with the clock, in numbers worked out by hand."""

import pytest

from authz_service.core.descriptors import Unit
from authz_service.core.fixed_window import (
    MAX_COUNT,
    Charged,
    charge,
    reset_s,
    window_start,
)


@pytest.mark.parametrize(
    ("now_s", "unit", "start"),
    [
        (1_234, Unit.SECOND, 1_234),
        (1_234, Unit.MINUTE, 1_200),
        (1_000_000, Unit.HOUR, 997_200),
        (1_000_000, Unit.DAY, 950_400),
        (1_000_000, Unit.WEEK, 604_800),
        (2_592_000, Unit.MONTH, 2_592_000),
        (31_535_999, Unit.YEAR, 0),
    ],
)
def test_a_window_begins_with_the_clock(now_s: int, unit: Unit, start: int) -> None:
    """Windows are counted from 1970 on, whatever was sent when."""
    assert window_start(now_s, unit.seconds) == start


@pytest.mark.parametrize(("now_s", "reset"), [(1_199, 1), (1_200, 60), (1_201, 59)])
def test_a_window_lasts_until_the_next(now_s: int, reset: int) -> None:
    """From its whole length at its first second to 1 at its last."""
    assert reset_s(now_s, 60) == reset


@pytest.mark.parametrize(
    ("before", "hits", "charged"),
    [
        (0, 1, Charged(0, 1, over=False, remaining=9)),
        (9, 1, Charged(9, 10, over=False, remaining=0)),
        (10, 1, Charged(10, 11, over=True, remaining=0)),
        (8, 3, Charged(8, 11, over=True, remaining=0)),
        (11, 1, Charged(11, 12, over=True, remaining=0)),
        (10, 0, Charged(10, 10, over=False, remaining=0)),
        (11, 0, Charged(11, 11, over=True, remaining=0)),
        (3, 0, Charged(3, 3, over=False, remaining=7)),
    ],
)
def test_every_call_counts(before: int, hits: int, charged: Charged) -> None:
    """What is refused is counted too; 0 hits only look, and are over when others are."""
    assert charge(before, hits=hits, limit=10) == charged


def test_a_limit_of_nothing_refuses_all_but_a_look() -> None:
    """0 is a ban."""
    assert charge(0, hits=1, limit=0).over
    assert not charge(0, hits=0, limit=0).over


def test_counting_ends_at_the_largest_exact_number() -> None:
    """A counter stays there instead of losing count."""
    assert charge(MAX_COUNT - 1, hits=1 << 64, limit=1).after == MAX_COUNT
