"""Where calendar periods begin and end. Days of 23 and 25 hours are as long as they are."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from authz_service.core.rules import Period, Quota

LATEST_MS = 7_258_118_400_000
"""The start of the year 2200 (UTC): the calendar answers for moments from 1970 until then."""


class Periods(NamedTuple):
    """Three periods in a row, as four boundaries in epoch milliseconds.

    A store whose clock is a little off this process's clock still finds its own moment in them.
    """

    previous_start_ms: int
    start_ms: int
    end_ms: int
    next_end_ms: int


class Calendar:
    """The periods of one kind in one time zone. Remembers the last answer."""

    def __init__(self, period: Period, *, zone: ZoneInfo) -> None:
        self._period = period
        self._zone = zone
        self._last = Periods(0, 0, 0, 0)

    def around(self, moment_ms: int) -> Periods:
        """Return the period that holds a moment, between its two neighbours.

        Raises:
            ValueError: the moment is outside 1970 to 2200.
        """
        if not self._last.start_ms <= moment_ms < self._last.end_ms:
            self._last = self._compute(moment_ms)
        return self._last

    def _compute(self, moment_ms: int) -> Periods:
        if not 0 <= moment_ms < LATEST_MS:
            raise ValueError(f"{moment_ms} ms is outside the calendar")
        local = datetime.fromtimestamp(moment_ms // 1000, self._zone)
        first = _first_day(self._period, local.date())
        if self._midnight_ms(_following(self._period, first)) <= moment_ms:
            # A clock set back just after midnight shows yesterday again. The day has begun.
            first = _following(self._period, first)
        following = _following(self._period, first)
        return Periods(
            self._midnight_ms(_first_day(self._period, first - timedelta(days=1))),
            self._midnight_ms(first),
            self._midnight_ms(following),
            self._midnight_ms(_following(self._period, following)),
        )

    def _midnight_ms(self, day: date) -> int:
        # Where the clock skips midnight or shows it twice, Python takes the earlier reading: the
        # first moment of the day in both cases.
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return int(midnight.astimezone(UTC).timestamp()) * 1000


class Calendars:
    """The calendars of all quotas, each made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Period], Calendar] = {}

    def around(self, quota: Quota, moment_ms: int) -> Periods:
        """Return the period of a quota that holds a moment, between its two neighbours.

        Raises:
            ValueError: the moment is outside 1970 to 2200.
            zoneinfo.ZoneInfoNotFoundError: no such time zone; a compiled policy has none.
        """
        calendar = self._known.get((quota.zone, quota.period))
        if calendar is None:
            calendar = Calendar(quota.period, zone=ZoneInfo(quota.zone))
            self._known[quota.zone, quota.period] = calendar
        return calendar.around(moment_ms)


def _first_day(period: Period, day: date) -> date:
    """Return the first day of the period that holds `day`."""
    if period is Period.DAY:
        return day
    if period is Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1)


def _following(period: Period, first: date) -> date:
    """Return the first day of the period after the one that begins on `first`."""
    if period is Period.DAY:
        return first + timedelta(days=1)
    if period is Period.WEEK:
        return first + timedelta(days=7)
    return (first + timedelta(days=31)).replace(day=1)
