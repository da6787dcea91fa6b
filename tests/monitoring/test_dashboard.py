"""The dashboard is what the code builds, asks only what exists, and says what it shows."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana.dashboard import FILE, encoded
from tests.monitoring.dashboard_queries import (
    WINDOW,
    dashboard,
    documented,
    family,
    grouped,
    panels,
    queries,
    series_of,
)

ALL = list(queries())
TITLES = [panel["title"] for panel in panels()]
_COLUMNS = 24
UNITS = {value for value in vars(units).values() if isinstance(value, str)}


def test_the_file_is_what_the_code_builds_now() -> None:
    """A difference means: look at it, then `make dashboard`."""
    assert FILE.read_text("utf-8") == encoded()


def test_every_query_parses() -> None:
    """Types of arguments included."""
    for _, query in ALL:
        series_of(query)


def test_every_series_is_documented() -> None:
    """By its name in docs/metrics.md, a histogram's parts by that of the histogram."""
    asked = {use.series for _, query in ALL for use in series_of(query)}

    assert sorted(it for it in asked if family(it) not in documented()) == []


def test_every_label_is_documented() -> None:
    """Those that are matched and those that are grouped by, with the series that they are of."""
    for _, query in ALL:
        known = {use: documented()[family(use.series)].labels for use in series_of(query)}
        assert [use for use, labels in known.items() if not use.matched <= labels] == []
        assert grouped(query) - {"le"} <= set().union(*known.values()), query


def test_only_what_grows_is_asked_for_its_growth() -> None:
    """Counters and histograms stand in rate or increase, gauges and infos never do."""
    for _, query in ALL:
        for use in series_of(query):
            grows = documented()[family(use.series)].type in {"counter", "histogram"}
            assert grows == (use.function in {"rate", "increase"}), query


def test_every_window_follows_the_scrapes() -> None:
    """No window of fixed length: it would be empty where scrapes are rare."""
    assert {window for _, query in ALL for window in re.findall(r"\[([^]]*)\]", query)} == {WINDOW}


def test_every_panel_says_what_it_shows() -> None:
    """In a title, a sentence and a unit that Grafana knows; and every line has a name."""
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_every_panel_asks_the_chosen_data_source() -> None:
    """By the template variable, so that the file fits any Grafana."""
    (variable,) = dashboard()["templating"]["list"]
    chosen = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}

    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for panel in panels():
        assert [it["datasource"] for it in panel["targets"]] == [chosen] * len(panel["targets"])
        assert panel["datasource"] == chosen


def test_every_line_is_named_by_all_that_tells_it_apart() -> None:
    """By every label it is grouped by and no other: else names would be empty, or the same."""
    for target in (target for panel in panels() for target in panel["targets"]):
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        counted = target["expr"].startswith("count(")  # one number, whatever it was grouped by
        assert counted or named == grouped(target["expr"]) - {"le"}, target


def test_panels_are_told_apart() -> None:
    """No two have one title, one number or one place, and none hangs over the edge."""
    shown = dashboard()["panels"]
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in shown)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(TITLES) == len(set(TITLES))
    assert len(shown) == len({panel["id"] for panel in shown})
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < _COLUMNS


def test_every_line_of_panels_is_full() -> None:
    """No row of the dashboard ends in a hole."""
    widths = Counter[int]()
    for panel in panels():
        place = panel["gridPos"]
        widths.update(dict.fromkeys(range(place["y"], place["y"] + place["h"]), place["w"]))

    assert {y: width for y, width in widths.items() if width != _COLUMNS} == {}


def test_the_dashboard_is_not_to_be_edited_by_hand() -> None:
    """What is changed in Grafana would be lost with the next import."""
    assert dashboard()["editable"] is False


def test_grafana_knows_every_key() -> None:
    """Read into the SDK's types and written again, nothing is lost."""
    written = json.dumps(dashboard())

    assert lost(json.loads(written), read_again(written)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "path"),
    [
        ('"expr"', '"exprr"', ".panels[1].targets[0].exprr"),
        ('"fillOpacity"', '"fillOpacty"', ".panels[1].fieldConfig.defaults.custom.fillOpacty"),
        ('"displayMode"', '"displayMoed"', ".panels[1].options.legend.displayMoed"),
        ('"graphTooltip"', '"graphTolltip"', ".graphTolltip"),
    ],
)
def test_a_mistyped_key_would_be_lost(right: str, wrong: str, path: str) -> None:
    """So the test above is none that lets all pass."""
    written = json.dumps(dashboard()).replace(right, wrong, 1)

    assert lost(json.loads(written), read_again(written)) == [path]


def read_again(written: str) -> Any:  # noqa: ANN401 - JSON
    """What the SDK makes of a dashboard."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(written))))


def lost(before: Any, after: Any, path: str = "") -> list[str]:  # noqa: ANN401 - JSON
    """Where something is missing, or another."""
    return list(_lost(before, after, path))


def _lost(before: Any, after: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _lost(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield path
