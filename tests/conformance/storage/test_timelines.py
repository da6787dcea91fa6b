"""The timelines of `docs/limits.md` happen as they are told there, on every store."""

import re
from pathlib import Path

import pytest

from authz_service.core.rules import Limit, Period
from tests.conformance.storage.bench import Bench
from tests.conformance.storage.limits import ask, quota, rate, told

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"
TABLE = re.compile(r"<!-- (timeline|retries): (.+) -->\n\|.*\n\|[-|]+\n((?:\|.*\n)+)")
TABLES = TABLE.findall(PAGE.read_text())
TIMELINES = [(limit, rows) for kind, limit, rows in TABLES if kind == "timeline"]
RETRIES = [(limit, rows) for kind, limit, rows in TABLES if kind == "retries"]


def limit_called(text: str) -> Limit:
    """Read `rate 3 10s` or `quota 3 day UTC`."""
    kind, size, *rest = text.split()
    if kind == "rate":
        return rate(int(size), int(rest[0].removesuffix("s")) * 1000)
    return quota(int(size), Period(rest[0]), rest[1])


def test_the_page_has_timelines() -> None:
    """A page without them would pass every test below."""
    assert (len(TIMELINES), len(RETRIES)) == (4, 1)


@pytest.mark.parametrize(("limit", "rows"), TIMELINES)
async def test_a_timeline_happens_as_told(bench: Bench, limit: str, rows: str) -> None:
    """Every row: what is admitted, what is left, and how long it takes."""
    began = bench.clock.now_ms()
    for row in rows.splitlines():
        second, cost, admitted, *figures = (cell.strip() for cell in row.split("|")[1:-2])
        bench.clock.advance(began + int(float(second) * 1000) - bench.clock.now_ms())
        remaining, reset, wait = map(float, figures)
        answer = await ask(bench, limit_called(limit), cost=int(cost))
        expected = (admitted == "yes", [(remaining, reset * 1000, wait * 1000)])
        assert told(answer) == expected, row


@pytest.mark.parametrize(("limit", "rows"), RETRIES)
async def test_retries_are_answered_as_told(bench: Bench, limit: str, rows: str) -> None:
    """Every row: whether anything is stored, what is left, and how long until the reset."""
    began = bench.clock.now_ms()
    for row in rows.splitlines():
        second, once, charged, *figures = (cell.strip() for cell in row.split("|")[1:-2])
        bench.clock.advance(began + int(float(second) * 1000) - bench.clock.now_ms())
        remaining, reset = map(float, figures)
        before = bench.contents()
        answer = await ask(bench, limit_called(limit), once=once)
        assert told(answer) == (True, [(remaining, reset * 1000, 0)]), row
        assert (bench.contents() != before) == (charged == "yes"), row
