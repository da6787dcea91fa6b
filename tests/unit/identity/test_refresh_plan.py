"""When keys are fetched: often enough, seldom enough, and never because somebody insists."""

import pytest

from authz_service.identity.refresh_plan import RefreshPlan

REFRESH_MS, COOLDOWN_MS = 300_000, 30_000


def plan(*, now_ms: int = 0, random: float = 0.0) -> RefreshPlan:
    """A plan without jitter unless told otherwise."""
    return RefreshPlan(
        refresh_ms=REFRESH_MS, cooldown_ms=COOLDOWN_MS, now_ms=now_ms, random=lambda: random
    )


def test_the_first_fetch_is_due_at_once() -> None:
    """Nothing is known yet."""
    assert plan(now_ms=7).due_ms == 7


@pytest.mark.parametrize(("random", "pause_ms"), [(0.0, 300_000), (0.5, 285_000), (1.0, 270_000)])
def test_after_a_success_the_next_is_due_a_little_before_the_interval_ends(
    random: float, pause_ms: int
) -> None:
    """By up to a tenth, so that workers that started together do not ask together."""
    mine = plan(random=random)
    mine.succeeded(1_000)
    assert mine.due_ms == 1_000 + pause_ms


def test_pauses_double_with_every_failure_up_to_the_interval() -> None:
    """And begin anew after a success."""
    mine = plan()
    pauses = []
    for _ in range(40):
        mine.failed(0)
        pauses.append(mine.due_ms)
    assert pauses[:10] == [
        1_000,
        2_000,
        4_000,
        8_000,
        16_000,
        32_000,
        64_000,
        128_000,
        256_000,
        300_000,
    ]
    assert set(pauses[9:]) == {300_000}
    mine.succeeded(0)
    mine.failed(0)
    assert mine.due_ms == 1_000


def test_a_missing_key_brings_the_next_fetch_forward() -> None:
    """To the end of the cooldown, however often it is missed."""
    mine = plan()
    mine.succeeded(10_000)
    for _ in range(1_000):
        mine.look_again()
    assert mine.due_ms == 10_000 + COOLDOWN_MS


def test_a_missing_key_does_not_put_a_fetch_off() -> None:
    """One that is due sooner anyway stays where it is."""
    mine = plan()
    mine.look_again()
    assert mine.due_ms == 0
    mine.failed(0)
    mine.look_again()
    assert mine.due_ms == 1_000


def test_a_failure_cools_down_too() -> None:
    """A dead provider is not asked more often because tokens come."""
    mine = plan()
    for _ in range(20):
        mine.failed(0)
    mine.look_again()
    assert mine.due_ms == COOLDOWN_MS


def test_a_flood_causes_one_fetch_a_cooldown() -> None:
    """An hour of unknown keys, a thousand a second: 120 fetches."""
    mine, now_ms, fetches = plan(), 0, 0
    while now_ms < 3_600_000:
        if now_ms >= mine.due_ms:
            fetches += 1
            mine.succeeded(now_ms)
        mine.look_again()
        now_ms += 100
    assert fetches == 3_600_000 // COOLDOWN_MS
