"""The picture of the dashboard has every panel, and writes numbers as people read them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image

from monitoring.grafana.preview import LINE_COLOURS, STATES, drawn, place
from monitoring.grafana.preview_data import Line, Span
from monitoring.grafana.preview_scale import ticks, written
from tests.monitoring.dashboard_queries import dashboard, panels

SPAN = Span(1_000, 1_060, 1)


def two_lines(_panel: Mapping[str, Any]) -> Sequence[Line]:
    """One that rises, and one with a gap; no number is bad."""
    times = range(1_000, 1_061)
    rising = {float(time_s): (time_s - 1_000) / 61 for time_s in times}
    broken = {float(time_s): 0.5 for time_s in times if not 1_020 < time_s < 1_040}
    return [Line("rising", rising), Line("broken", broken)]


def colours(picture: Image.Image) -> set[object]:
    """All that are in it."""
    return {colour for _, colour in picture.getcolors(1 << 16) or []}


def test_every_panel_is_drawn_in_its_place() -> None:
    """Each graph with the colours of both lines, each number in the colour of a good one."""
    picture = drawn(dashboard(), two_lines, SPAN).convert("RGB")

    for panel in panels():
        left, top, right, bottom = place(panel)
        part = picture.crop((round(left), round(top) + 30, round(right), round(bottom)))
        found = colours(part)
        is_number = panel["type"] == "stat"
        for wanted in [STATES["green"]] if is_number else LINE_COLOURS[:2]:
            assert wanted in found, panel["title"]


def test_a_number_that_is_bad_is_red() -> None:
    """From the panel's threshold on."""
    (panel, *_) = [it for it in panels() if it["type"] == "stat"]
    only = {"panels": [{**panel, "gridPos": {"x": 0, "y": 0, "w": 4, "h": 4}}]}

    picture = drawn(only, lambda _: [Line("bad", {1_000.0: 1.0})], SPAN).convert("RGB")

    assert STATES["red"] in colours(picture)


def test_a_panel_without_numbers_is_not_drawn() -> None:
    """A picture with an empty panel would say that it never shows anything."""
    with pytest.raises(ValueError, match="Requests by endpoint: nothing to show"):
        drawn(dashboard(), lambda _: [Line("empty", {})], SPAN)


@pytest.mark.parametrize("top", [0, 1e-7, 0.03, 0.999, 1, 7, 99.5, 1000, 123_456])
def test_an_axis_has_few_steps_of_one_size_and_room_for_everything(top: float) -> None:
    """From 0 to at least the largest value, without an empty step above it."""
    marks = ticks(top, "short")
    steps = [after - before for before, after in pairwise(marks)]

    assert marks[0] == 0
    assert 1 <= len(steps) <= 4
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert top <= marks[-1] * (1 + 1e-9)
    assert top == 0 or top > marks[-2]


@pytest.mark.parametrize(
    ("top", "unit", "marks"),
    [
        (200, "s", ["0 s", "1 min", "2 min", "3 min", "4 min"]),
        (30 * 86_400, "s", ["0 s", "10 days", "20 days", "30 days"]),
        (300 * 1024**2, "bytes", ["0 B", "100 MiB", "200 MiB", "300 MiB"]),
    ],
)
def test_an_axis_is_round_in_its_unit(top: float, unit: str, marks: list[str]) -> None:
    """200 seconds in hundreds would be read as 1.67 min."""
    assert [written(mark, unit) for mark in ticks(top, unit)] == marks


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.000_25, "s", "0.25 ms"),
        (0.0125, "s", "12.5 ms"),
        (90, "s", "1.5 min"),
        (0.051, "percentunit", "5.1%"),
        (1, "bool_yes_no", "Yes"),
        (0, "bool_yes_no", "No"),
        (1536, "bytes", "1.5 KiB"),
        (2_500_000, "decbytes", "2.5 MB"),
        (2_500_000, "Bps", "2.5 MB/s"),
        (12.345, "reqps", "12.3 req/s"),
        (42_000, "short", "42000"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float, unit: str, text: str) -> None:
    """Three digits are enough to read."""
    assert written(value, unit) == text
