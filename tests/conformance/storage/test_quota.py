"""What a calendar quota promises, whatever store counts it."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from authz_service.core.rules import Period
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import DAY, HOUR, MINUTE, SECOND, ask, quota, told

BERLIN = "Europe/Berlin"


def travel(bench: Bench, moment: str, zone: str = "UTC") -> None:
    """Let time pass until a zone's own clock shows the moment."""
    then = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
    bench.clock.advance(int(then.timestamp()) * 1000 - bench.clock.now_ms())


async def test_a_quota_admits_its_limit_until_the_period_ends(bench: Bench) -> None:
    """The count is full until midnight and empty at midnight."""
    travel(bench, "2030-07-01T22:00")
    assert told(await ask(bench, quota(3), cost=2)) == (True, [(1, 2 * HOUR, 0)])
    assert told(await ask(bench, quota(3))) == (True, [(0, 2 * HOUR, 0)])
    bench.clock.advance(2 * HOUR - 1)
    assert told(await ask(bench, quota(3))) == (False, [(0, 1, 1)])
    bench.clock.advance(1)
    assert told(await ask(bench, quota(3))) == (True, [(2, DAY, 0)])


async def test_a_denied_request_changes_nothing(bench: Bench) -> None:
    """Not one byte of what is stored differs after a denial."""
    await ask(bench, quota(2), cost=2)
    before = bench.contents()
    bench.clock.advance(SECOND)
    assert not (await ask(bench, quota(2))).admitted
    assert bench.contents() == before


@pytest.mark.parametrize(
    ("day", "hours"), [("2030-07-01", 24), ("2030-10-27", 25), ("2031-03-30", 23)]
)
async def test_a_day_is_as_long_as_the_zone_makes_it(bench: Bench, day: str, hours: int) -> None:
    """Berlin's clocks change on 27 October 2030 and 30 March 2031: 25 and 23 hours."""
    berlin = quota(1, zone=BERLIN)
    travel(bench, day, BERLIN)
    assert told(await ask(bench, berlin)) == (True, [(0, hours * HOUR, 0)])
    bench.clock.advance(hours * HOUR - 1)
    assert not (await ask(bench, berlin)).admitted
    bench.clock.advance(1)
    assert (await ask(bench, berlin)).admitted


async def test_a_week_starts_on_monday_and_a_month_on_its_first_day(bench: Bench) -> None:
    """Saturday, 29 June 2030: the week has two days left, the month too; Monday is 1 July."""
    travel(bench, "2030-06-29")
    week, month = quota(9, Period.WEEK, name="week"), quota(9, Period.MONTH, name="month")
    assert told(await ask(bench, week, month)) == (True, [(8, 2 * DAY, 0), (8, 2 * DAY, 0)])
    bench.clock.advance(2 * DAY)
    assert told(await ask(bench, week, month)) == (True, [(8, 7 * DAY, 0), (8, 31 * DAY, 0)])


async def test_a_clock_that_steps_back_over_midnight_loses_and_doubles_nothing(
    bench: Bench,
) -> None:
    """The later day stays in force: its count goes on, the old day's is not taken up again."""
    travel(bench, "2030-07-01T23:00")
    await ask(bench, quota(5), cost=4)
    bench.clock.advance(HOUR + 1_000)
    assert told(await ask(bench, quota(5), cost=2)) == (True, [(3, DAY - 1_000, 0)])
    bench.clock.step_back(5_000)
    assert told(await ask(bench, quota(5))) == (True, [(2, DAY + 4_000, 0)])
    bench.clock.advance(5_000)
    assert told(await ask(bench, quota(5))) == (True, [(1, DAY - 1_000, 0)])


async def test_a_clock_that_steps_back_to_yesterday_does_not_renew_it(bench: Bench) -> None:
    """Yesterday's count is still there when nobody has asked today."""
    travel(bench, "2030-07-01T23:00")
    await ask(bench, quota(3), cost=3)
    bench.clock.advance(HOUR)
    await ask(bench, quota(3), subject="key:somebody-else")
    bench.clock.step_back(5_000)
    assert told(await ask(bench, quota(3))) == (False, [(0, 5_000, 5_000)])


async def test_a_clock_that_was_days_ahead_still_counts(bench: Bench) -> None:
    """A counter from what is now the future keeps its own period, beyond any table sent."""
    bench.clock.advance(10 * DAY)
    await ask(bench, quota(2))
    bench.clock.step_back(10 * DAY)
    assert told(await ask(bench, quota(2))) == (True, [(0, 11 * DAY, 0)])
    assert told(await ask(bench, quota(2))) == (False, [(0, 11 * DAY, 11 * DAY)])


async def test_a_quota_expires_with_its_period(bench: Bench) -> None:
    """A store keeps a count until a minute after the period."""
    await ask(bench, quota(5))
    [(_, expires_ms)] = bench.contents().values()
    assert expires_ms == bench.clock.now_ms() + DAY + MINUTE


async def test_another_time_zone_keeps_a_count_of_the_same_period(bench: Bench) -> None:
    """While a change of zone is rolled out, processes that disagree do not empty the count."""
    travel(bench, "2030-07-01T12:00")
    for used, zone in enumerate(["UTC", BERLIN, "UTC", BERLIN], start=1):
        answer = await ask(bench, quota(9, zone=zone))
        assert answer.readings[0].remaining == 9 - used, zone


async def test_sixty_days_without_a_pause_count_each_day_for_itself(bench: Bench) -> None:
    """Every day admits its limit, on days of 23, 24 and 25 hours."""
    travel(bench, "2030-09-20", BERLIN)
    admitted: dict[str, int] = {}
    for _ in range(60 * 8):
        today = datetime.fromtimestamp(bench.clock.now_ms() / 1000, ZoneInfo(BERLIN))
        if (await ask(bench, quota(6, zone=BERLIN))).admitted:
            admitted[today.date().isoformat()] = admitted.get(today.date().isoformat(), 0) + 1
        bench.clock.advance(3 * HOUR)
    assert len(admitted) == 60
    assert set(admitted.values()) == {6}
