"""What the dashboard asks, taken apart; and what docs/metrics.md says there is to ask."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitoring.grafana.dashboard import FILE
from tests.monitoring.expressions import Use, grouping, uses

ROOT: Final = Path(__file__).parents[2]
WINDOW: Final = "$__rate_interval"
_HISTOGRAM: Final = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True)
class Documented:
    """A series as the documentation has it."""

    type: str
    labels: frozenset[str]


def dashboard() -> Any:  # noqa: ANN401 - JSON is what it is
    """The committed file."""
    return json.loads(FILE.read_text("utf-8"))


def panels() -> list[Any]:
    """Every panel that shows something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """The panel's title and the query."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def series_of(query: str) -> list[Use]:
    """Every series in a query of the dashboard, which has a window of a minute.

    Raises:
        ValueError: it is no PromQL.
    """
    return uses(query.replace(WINDOW, "1m"))


def grouped(query: str) -> set[str]:
    """Every label by which a query of the dashboard sums up."""
    return grouping(query.replace(WINDOW, "1m"))


def documented() -> Mapping[str, Documented]:
    """Every series of the tables, by its name; the image service's prefix is filled in."""
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8").replace("`PREFIX_", "`imagen_")
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|histogram|gauge|info) \|([^|]*)\|", text, re.MULTILINE
    )
    return {
        name: Documented(kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in rows
    }


def family(series: str) -> str:
    """The name by which a series is documented."""
    known = documented()
    for ending in _HISTOGRAM:
        base = series.removesuffix(ending)
        if base != series and base in known and known[base].type == "histogram":
            return base
    return series
