"""The arithmetic of limits on single moments; sequences are under `tests/conformance/storage`."""

from authz_service.core.meter import (
    KEPT_MS,
    LEAST_WAIT_MS,
    Metered,
    Reading,
    Scope,
    Taken,
    Tally,
    read_quota,
    read_rate,
    take_quota,
    take_rate,
    tally_time,
    told_later,
)
from authz_service.core.rules import Charge, Period, Quota, Rate

RATE = Rate(name="rate", limit=3, window_ms=1_000)
QUOTA = Quota(name="quota", limit=3, period=Period.DAY, zone="UTC")
ONE = Charge(RATE, 1)
TWO = Charge(RATE, 2)
CALL = Charge(QUOTA, 1)
TODAY = (10_000, 20_000)


def test_an_empty_log_leaves_everything() -> None:
    """Nothing counted: all is left and nothing is waited for."""
    assert read_rate(ONE, RATE, (), 5_000) == Reading(ONE, 3, 0, 0)


def test_an_admission_counts_up_to_but_not_at_the_end_of_its_window() -> None:
    """At 1,999 ms an admission of 1,000 ms counts, at 2,000 ms it does not."""
    assert read_rate(ONE, RATE, (1_000,), 1_999) == Reading(ONE, 2, 1, 0)
    assert read_rate(ONE, RATE, (1_000,), 2_000) == Reading(ONE, 3, 0, 0)


def test_a_denied_cost_waits_for_the_admission_that_makes_it_fit() -> None:
    """Three are counted; cost two needs the second oldest to leave."""
    log = (1_000, 1_200, 1_500)
    assert read_rate(TWO, RATE, log, 1_600) == Reading(TWO, 0, 400, 600)


def test_taking_appends_the_cost_and_drops_what_is_dead() -> None:
    """The next log holds what still counts and one entry for each unit of cost."""
    taken = take_rate(TWO, RATE, (100, 1_000), 1_500)
    reading = Reading(TWO, 0, 500, 0)
    assert taken == Taken(reading, (1_000, 1_500, 1_500), 2_500 + KEPT_MS)


def test_a_log_newer_than_the_clock_is_counted_at_its_own_time() -> None:
    """With the clock 800 ms behind the newest entry, nothing is freed and waits are the clock's."""
    log = (1_000, 1_400, 1_800)
    assert read_rate(ONE, RATE, log, 1_000) == Reading(ONE, 0, 1_000, 1_000)
    assert take_rate(ONE, RATE, log[1:], 1_000).counter == (1_400, 1_800, 1_800)


def test_a_quota_without_a_tally_leaves_everything() -> None:
    """Nothing counted: all is left and nothing is waited for."""
    assert read_quota(CALL, QUOTA, None, TODAY, 12_000) == Reading(CALL, 3, 0, 0)


def test_a_full_quota_waits_for_the_end_of_its_period() -> None:
    """Reset and retry are the time until the period ends."""
    full = Tally(10_000, 3)
    assert read_quota(CALL, QUOTA, full, TODAY, 19_999) == Reading(CALL, 0, 1, 1)


def test_a_tally_of_an_earlier_period_counts_nothing() -> None:
    """What was used yesterday is no debt today."""
    taken = take_quota(CALL, QUOTA, Tally(0, 3), TODAY, 12_000)
    assert taken == Taken(Reading(CALL, 2, 8_000, 0), Tally(10_000, 1), 20_000 + KEPT_MS)


def test_a_tally_from_the_future_sets_the_time() -> None:
    """The later of the clock and the tally says which period counts."""
    assert tally_time(None, 5) == 5
    assert tally_time(Tally(3, 1), 5) == 5
    assert tally_time(Tally(9, 1), 5) == 9


def test_a_tally_within_the_period_keeps_its_later_start() -> None:
    """A period that began before the tally's start takes over its count and keeps the start."""
    assert take_quota(CALL, QUOTA, Tally(12_000, 1), TODAY, 13_000).counter == Tally(12_000, 2)


def test_a_lower_limit_never_leaves_less_than_nothing() -> None:
    """Counts above a limit that was lowered read as 0 left."""
    assert read_quota(CALL, QUOTA, Tally(10_000, 9), TODAY, 12_000).remaining == 0
    assert read_rate(ONE, RATE, (1_000,) * 9, 1_001) == Reading(ONE, 0, 999, 999)


def test_what_is_held_elsewhere_is_missing_here() -> None:
    """Of three one is counted and one is held: one is left, and two wait for what is counted."""
    one, two = (Charge(RATE, cost, held=1) for cost in (1, 2))
    assert read_rate(one, RATE, (1_000,), 1_400) == Reading(one, 1, 600, 0)
    assert read_rate(two, RATE, (1_000,), 1_400) == Reading(two, 1, 600, 600)
    assert take_rate(one, RATE, (1_000,), 1_400).reading == Reading(one, 0, 600, 0)
    call = Charge(QUOTA, 2, held=1)
    assert read_quota(call, QUOTA, None, TODAY, 12_000) == Reading(call, 2, 0, 0)
    assert take_quota(call, QUOTA, None, TODAY, 12_000).reading == Reading(call, 0, 8_000, 0)
    assert read_quota(call, QUOTA, Tally(10_000, 1), TODAY, 12_000).retry_after_ms == 8_000


def test_without_any_room_a_wait_is_until_the_counter_is_empty() -> None:
    """Everything is held: the newest admission is waited for; without one, a millisecond."""
    held = Charge(RATE, 2, held=3)
    assert read_rate(held, RATE, (1_000, 1_300), 1_400) == Reading(held, 0, 600, 900)
    assert read_rate(held, RATE, (), 1_400) == Reading(held, 0, 0, LEAST_WAIT_MS)
    call = Charge(QUOTA, 2, held=5)
    assert read_quota(call, QUOTA, None, TODAY, 12_000) == Reading(call, 0, 0, 8_000)


def test_counting_is_shared_unless_said_otherwise() -> None:
    """A store need not speak of failure modes."""
    assert Metered(admitted=True, readings=()).scope is Scope.SHARED


def test_an_answer_told_later_has_less_time_to_wait_and_nothing_else_changed() -> None:
    """Resets come nearer, down to 0; what remains and where it was counted stay as told."""
    readings = (Reading(ONE, 2, 900, 0), Reading(CALL, 1, 5_000, 0))
    answer = Metered(admitted=True, readings=readings, scope=Scope.LOCAL)
    later = (Reading(ONE, 2, 0, 0), Reading(CALL, 1, 4_000, 0))
    assert told_later(answer, 1_000) == Metered(admitted=True, readings=later, scope=Scope.LOCAL)
