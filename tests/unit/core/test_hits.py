"""What hits mean together, as values."""

import pytest

from authz_service.core.hits import Count, Fixed, Hit, Says, any_sliding, is_over, takes
from authz_service.core.rules import Rate

SLIDING = Hit("a", Rate(name="x", limit=1, window_ms=1_000))
FIXED = Hit("a", Fixed(name="x", limit=1, window_ms=1_000))
R, Q, S = Says.REFUSES, Says.QUOTA, Says.SHADOW


def count(*, over: bool) -> Count:
    """A counter that is full or is not."""
    return Count(over=over, remaining=0, reset_ms=0, retry_after_ms=0, used_before=0, counted=False)


@pytest.mark.parametrize(
    ("hits", "over"),
    [
        ([(R, False)], False),
        ([(R, True)], True),
        ([(R, False), (R, True)], True),
        ([(S, True)], False),
        ([(Q, True)], True),
        ([(Q, True), (Q, False)], False),
        ([(Q, True), (Q, True)], True),
        ([(Q, True), (S, False)], True),
        ([(Q, True), (R, False)], True),
        ([(Q, False), (R, True)], True),
        ([(Q, False), (S, True), (R, False)], False),
    ],
)
def test_one_refuses_alone_and_quotas_only_together(
    hits: list[tuple[Says, bool]],
    over: bool,  # noqa: FBT001 - the expectation
) -> None:
    """A hit in shadow has no say."""
    asked = [Hit("a", SLIDING.limit, says=says) for says, _ in hits]
    assert is_over(asked, [count(over=it) for _, it in hits]) is over


@pytest.mark.parametrize(
    ("hit", "over", "passes", "taken"),
    [
        (SLIDING, False, True, True),
        (SLIDING, True, True, False),
        (SLIDING, False, False, False),
        (FIXED, True, False, True),
        (Hit("a", FIXED.limit, 0), False, True, False),
        (Hit("a", SLIDING.limit, 0), False, True, False),
    ],
)
def test_a_fixed_window_takes_all_and_a_sliding_one_what_passes(
    hit: Hit,
    over: bool,  # noqa: FBT001 - the case
    passes: bool,  # noqa: FBT001
    taken: bool,  # noqa: FBT001
) -> None:
    """Who only looks takes nothing."""
    assert takes(hit, over=over, passes=passes) is taken


def test_only_a_hit_that_may_not_be_taken_needs_a_look_before() -> None:
    """Sliding windows that are charged, and nothing else."""
    assert any_sliding([FIXED, SLIDING])
    assert not any_sliding([FIXED, Hit("a", SLIDING.limit, 0)])
