"""What the dashboard asks, taken apart; and what docs/metrics.md says there is to ask."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser as promql

from monitoring.grafana.dashboard import FILE

ROOT: Final = Path(__file__).parents[2]
WINDOW: Final = "$__rate_interval"
_HISTOGRAM: Final = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True)
class Documented:
    """A series as the documentation has it."""

    type: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Use:
    """Series in a query: their name, and the function of their range; none for values as they are.

    `selector` is all of them, as the query has it, without the range.
    """

    series: str
    selector: str
    function: str | None
    matched: frozenset[str]


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


def parsed(query: str) -> promql.Expr:
    """A query with a window of a minute.

    Raises:
        ValueError: it is none.
    """
    return promql.parse(query.replace(WINDOW, "1m"))


def uses(query: str) -> list[Use]:
    """Every series in a query."""
    found: list[Use] = []
    functions: list[str] = []  # of the range that comes next

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.Call):
            ranges = [it for it in node.args if isinstance(it, promql.MatrixSelector)]
            functions.extend(node.func.name for _ in ranges)
        elif isinstance(node, promql.VectorSelector):
            found.append(_use(node, functions.pop() if functions else None))

    promql.walk(parsed(query), visit)
    return found


def grouped(query: str) -> set[str]:
    """Every label by which a query sums up."""
    found: set[str] = set()

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql.walk(parsed(query), visit)
    return found


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


def _use(selector: promql.VectorSelector, function: str | None) -> Use:
    assert selector.name is not None
    matched = frozenset(it.name for it in selector.matchers.matchers)
    return Use(selector.name, str(selector), function, matched)
