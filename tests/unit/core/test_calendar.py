"""Where periods begin and end, by the clocks of real zones."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.calendar import LATEST_MS, Calendar, Calendars
from authz_service.core.rules import Period, Quota

HOUR = 3_600_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # once set its clocks at one minute past midnight
    "America/Havana",  # sets its clocks back at one, to midnight
    "Africa/Cairo",  # sets its clocks forward at midnight
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out a day in 2011
    "Pacific/Kiritimati",
]


def moment(text: str, zone: str) -> int:
    """Return the epoch milliseconds of a zone's own clock."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def starts(period: Period, zone: str, at: str) -> list[str]:
    """Return the four boundaries as the zone's own clock shows them."""
    periods = Calendar(period, zone=ZoneInfo(zone)).around(moment(at, zone))
    local = [datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)) for ms in periods]
    return [then.replace(tzinfo=None).isoformat(timespec="minutes") for then in local]


@pytest.mark.parametrize(
    ("period", "at", "expected"),
    [
        (Period.DAY, "2026-03-01T12:00", "2026-02-28 2026-03-01 2026-03-02 2026-03-03"),
        (Period.DAY, "2026-03-01T00:00", "2026-02-28 2026-03-01 2026-03-02 2026-03-03"),
        (Period.WEEK, "2026-01-01T12:00", "2025-12-22 2025-12-29 2026-01-05 2026-01-12"),
        (Period.WEEK, "2026-06-01T00:00", "2026-05-25 2026-06-01 2026-06-08 2026-06-15"),
        (Period.MONTH, "2028-02-29T23:59", "2028-01-01 2028-02-01 2028-03-01 2028-04-01"),
        (Period.MONTH, "2026-12-31T23:59", "2026-11-01 2026-12-01 2027-01-01 2027-02-01"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_periods_begin_at_midnight_of_their_first_day(
    period: Period, at: str, expected: str, zone: str
) -> None:
    """Days, weeks from Monday and months, across months, years and leap days."""
    assert starts(period, zone, at) == [f"{day}T00:00" for day in expected.split()]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("UTC", "2026-03-29", 24),
    ],
)
def test_a_day_is_as_long_as_its_zone_makes_it(zone: str, day: str, hours: float) -> None:
    """The clocks change twice a year; the day begins and ends at the zone's midnight."""
    calendar = Calendar(Period.DAY, zone=ZoneInfo(zone))
    periods = calendar.around(moment(f"{day}T12:00", zone))
    assert (periods.end_ms - periods.start_ms) / HOUR == hours


def test_a_day_whose_midnight_is_skipped_begins_when_the_clock_jumps() -> None:
    """Cairo goes from 23:59 to 01:00 on the last Friday of April."""
    assert starts(Period.DAY, "Africa/Cairo", "2026-04-24T12:00")[1] == "2026-04-24T01:00"


def test_a_day_that_has_begun_is_not_taken_back() -> None:
    """St. John's went from 00:01 to 23:01 in November 2010: yesterday's clock, today's day."""
    calendar = Calendar(Period.DAY, zone=ZoneInfo("America/St_Johns"))
    midnight = moment("2010-11-07T00:00", "America/St_Johns")
    for minutes in (0, 1, 30, 61, 90):
        assert calendar.around(midnight + minutes * 60_000).start_ms == midnight
        fresh = Calendar(Period.DAY, zone=ZoneInfo("America/St_Johns"))
        assert fresh.around(midnight + minutes * 60_000).start_ms == midnight


@given(
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(Period),
    moment_ms=st.integers(0, LATEST_MS - 1),
    offset_ms=st.integers(-2 * HOUR, 2 * HOUR),
)
def test_every_moment_lies_in_its_period_and_periods_follow_each_other(
    zone: str, period: Period, moment_ms: int, offset_ms: int
) -> None:
    """The current period holds the moment, and a boundary's neighbourhood agrees about it."""
    calendar = Calendar(period, zone=ZoneInfo(zone))
    first = calendar.around(moment_ms)
    assert first.previous_start_ms <= first.start_ms <= moment_ms < first.end_ms
    assert first.end_ms <= first.next_end_ms
    near_ms = first.end_ms + offset_ms
    near = calendar.around(near_ms) if near_ms < LATEST_MS else first
    assert near.start_ms <= near_ms < near.end_ms or near is first
    if near_ms == first.end_ms and near is not first:
        assert (near.previous_start_ms, near.start_ms) == (first.start_ms, first.end_ms)


@pytest.mark.parametrize("moment_ms", [-1, LATEST_MS, 10**18])
def test_a_moment_outside_the_calendar_is_refused(moment_ms: int) -> None:
    """A server with a broken clock gets an error, not a crash of the date arithmetic."""
    with pytest.raises(ValueError, match="outside the calendar"):
        Calendar(Period.DAY, zone=ZoneInfo("UTC")).around(moment_ms)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("moment_ms", [0, LATEST_MS - 1])
def test_the_ends_of_the_calendar_have_neighbours(zone: str, moment_ms: int) -> None:
    """The first and the last moment are answered in every zone."""
    for period in Period:
        periods = Calendar(period, zone=ZoneInfo(zone)).around(moment_ms)
        assert periods.start_ms <= moment_ms < periods.end_ms


def test_calendars_tell_zones_and_periods_apart() -> None:
    """One object serves every quota of a policy."""
    calendars = Calendars()
    at = moment("2026-05-15T23:30", "UTC")
    seen = {
        (zone, period): calendars.around(
            Quota(name="q", limit=1, period=period, zone=zone), at
        ).start_ms
        for zone in ("UTC", "Europe/Berlin")
        for period in Period
    }
    assert len(set(seen.values())) == 6
