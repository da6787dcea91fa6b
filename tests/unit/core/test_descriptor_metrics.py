"""What a call adds to the counters of its rule: before, after and every number."""

import pytest

from authz_service.core.descriptor_metrics import (
    Increments,
    exact_increments,
    fixed_increments,
    measured_name,
    near_limit,
)


@pytest.mark.parametrize(
    ("before", "hits", "within", "near", "over"),
    [
        (0, 1, 1, 0, 0),
        (7, 1, 1, 0, 0),  # the eighth of ten is not near yet
        (8, 1, 1, 1, 0),
        (9, 1, 1, 1, 0),
        (10, 1, 0, 0, 1),
        (5, 4, 4, 1, 0),
        (8, 2, 2, 2, 0),
        (7, 5, 0, 2, 2),
        (9, 5, 0, 1, 4),
        (12, 5, 0, 0, 5),
        (10, 0, 0, 0, 0),
        (9, 0, 0, 0, 0),
        (0, 0, 0, 0, 0),
    ],
)
def test_what_a_fixed_window_of_ten_adds(
    before: int, hits: int, within: int, near: int, over: int
) -> None:
    """Near begins behind eight of ten, and a call across the limit is split there."""
    added = fixed_increments(
        before, before + hits, hits=hits, limit=10, near_ratio=0.8, shadow=False
    )
    assert added == Increments(
        total_hits=hits, within_limit=within, near_limit=near, over_limit=over
    )


def test_shadow_counts_as_much_as_over() -> None:
    """Only the part behind the limit, and nothing while there is room."""
    over = fixed_increments(9, 14, hits=5, limit=10, near_ratio=0.8, shadow=True)
    within = fixed_increments(0, 1, hits=1, limit=10, near_ratio=0.8, shadow=True)
    assert (over.over_limit, over.shadow_mode) == (4, 4)
    assert within == Increments(total_hits=1, within_limit=1)


@pytest.mark.parametrize(
    ("over", "charged", "shadow", "added"),
    [
        (False, True, False, Increments(total_hits=3, within_limit=3, near_limit=2)),
        (True, False, False, Increments(total_hits=3, over_limit=3)),
        (True, False, True, Increments(total_hits=3, over_limit=3, shadow_mode=3)),
        (False, False, False, Increments(total_hits=3)),
    ],
)
def test_what_an_exact_limit_adds(
    *, over: bool, charged: bool, shadow: bool, added: Increments
) -> None:
    """All of a call or nothing; one that another limit refused was only seen."""
    assert added == exact_increments(
        7, hits=3, limit=10, near_ratio=0.8, over=over, charged=charged, shadow=shadow
    )


@pytest.mark.parametrize(
    ("limit", "ratio", "near"),
    [
        (10, 0.8, 8),
        (1, 0.8, 0),
        (0, 0.8, 0),
        (9, 0.8, 7),
        (100, 0.29, 29),
        (4294967295, 1.0, 1 << 32),
    ],
)
def test_near_is_reckoned_in_single_precision(limit: int, ratio: float, near: int) -> None:
    """0.29 of 100 is 28.999... in double precision, and 29 where these numbers come from."""
    assert near_limit(limit, ratio) == near


@pytest.mark.parametrize(
    ("levels", "name"),
    [
        ((), "shop"),
        (("user_ann", "path"), "shop.user_ann.path"),
        (("a:b|c",), "shop.a_b_c"),
        (("remote_address_10.0.0.1",), "shop.remote_address_10_0_0_1"),
        (("10.0.0.1", "x_8.8.8.8/32"), "shop.10_0_0_1.x_8_8_8_8/32"),
        (("version_1.2.3",), "shop.version_1.2.3"),
        (("1", "2", "3", "4"), "shop.1.2.3.4"),
    ],
)
def test_the_name_of_a_rule(levels: tuple[str, ...], name: str) -> None:
    """Levels with dots between; what separates elsewhere, and the dots of addresses, go."""
    assert measured_name("shop", levels) == name


def test_the_domain_is_part_of_the_name_as_it_is_of_the_rule() -> None:
    """It is made plain too."""
    assert measured_name("shop:eu", ("a",)) == "shop_eu.a"
