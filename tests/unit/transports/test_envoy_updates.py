"""What Envoy's counters of updates mean, look by look."""

from pathlib import Path

import pytest

from authz_service.transports.envoy_updates import EnvoyUpdates

Look = tuple[int, int]
"""How many updates of the routes Envoy has taken, and how many it has refused."""


def judged(*looks: Look) -> list[bool]:
    """Whether Envoy is said to refuse, after each look."""
    updates = EnvoyUpdates(Path("/nowhere"))
    told = []
    for taken, refused in looks:
        updates._judge({"rds.update_success": taken, "rds.update_rejected": refused})
        told.append(updates.is_rejecting)
    return told


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(1, 0), (2, 0)], [False, False]),
        ([(1, 0), (1, 1), (1, 1)], [False, True, True]),
        ([(1, 0), (1, 1), (2, 1)], [False, True, False]),
        ([(3, 2)], [False]),
        ([(0, 1)], [True]),
        ([(3, 0), (0, 1)], [False, True]),
        ([(3, 1), (1, 0)], [False, False]),
    ],
    ids=[
        "all taken",
        "refused and left so",
        "refused, then taken",
        "an old refusal seen late",
        "never taken any",
        "a new Envoy that refuses",
        "a new Envoy that takes",
    ],
)
def test_a_refusal_lasts_until_the_next_update_that_is_taken(
    looks: list[Look], expected: list[bool]
) -> None:
    """Only what is sure is told, and a missed look changes nothing."""
    assert judged(*looks) == expected


def test_each_kind_of_file_is_judged_by_itself() -> None:
    """A listener that is taken does not hide routes that are not."""
    updates = EnvoyUpdates(Path("/nowhere"))
    updates._judge({"rds.update_success": 1, "rds.update_rejected": 0, "lds.update_success": 1})
    updates._judge({"rds.update_success": 1, "rds.update_rejected": 1, "lds.update_success": 2})

    assert updates.is_rejecting
