"""How every panel of the dashboard looks, and the forms of query that recur."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

DATASOURCE: Final = "datasource"
"""The template variable by which whoever imports the dashboard chooses a Prometheus."""

WINDOW: Final = "[$__rate_interval]"
GREEN: Final = Threshold(color="green")

_PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=f"${{{DATASOURCE}}}")
_HEIGHT: Final = 8
_GRAPHS_IN_A_LINE: Final = 3
_NUMBERS_IN_A_LINE: Final = 4
_COLUMNS: Final = 24


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks, and the name of each line it gets; `{{label}}` in it is filled in."""

    promql: str
    legend: str


Panel = timeseries.Panel | stat.Panel


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, in the order in which they are read."""

    title: str
    panels: Sequence[Panel] = field(default=())


def graph(title: str, description: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Lines over time."""
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(_PROMETHEUS)
        .targets([_target(number, query) for number, query in enumerate(queries)])
        .height(_HEIGHT)
        .span(_COLUMNS // _GRAPHS_IN_A_LINE)
        .axis_soft_min(0)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(tooltip)
    )


def stacked(title: str, description: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Areas on top of one another: parts of a whole."""
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    return graph(title, description, unit, *queries).stacking(stacking).fill_opacity(30)


def number(
    title: str, description: str, unit: str, query: Query, *, bad: float | None = None
) -> stat.Panel:
    """One number as it is now, red from `bad` on."""
    limit = [] if bad is None else [Threshold(value=bad, color="red")]
    steps = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([GREEN, *limit])
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(_PROMETHEUS)
        .with_target(_target(0, query))
        .height(_HEIGHT // 2)
        .span(_COLUMNS // _NUMBERS_IN_A_LINE)
        .thresholds(steps)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def rate(counter: str, *by: str) -> str:
    """How fast a counter grows each second, for each value of these labels.

    `counter` may have matchers: `requests_total{status="500"}`.
    """
    return f"sum{_grouped(by)} (rate({counter}{WINDOW}))"


def increase(counter: str, *by: str) -> str:
    """By how much a counter of rare events has grown in each interval that is drawn."""
    return f"sum{_grouped(by)} (increase({counter}{WINDOW}))"


def share(part: str, whole: str) -> str:
    """The share of a sum in another one; 0 where the part has never occurred."""
    return f"({part} or 0 * {whole}) / {whole}"


def quantile(of_all: float, histogram: str, *by: str) -> str:
    """What this share of all observations does not exceed."""
    return f"histogram_quantile({of_all}, {rate(f'{histogram}_bucket', *by, 'le')})"


def quantiles(histogram: str) -> tuple[Query, Query]:
    """The median and the 99th percentile."""
    return Query(quantile(0.5, histogram), "p50"), Query(quantile(0.99, histogram), "p99")


def mean(histogram: str) -> str:
    """The mean of all observations."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def _grouped(by: Sequence[str]) -> str:
    return f" by ({', '.join(by)})" if by else ""


def _target(number: int, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + number))
        .datasource(_PROMETHEUS)
        .expr(query.promql)
        .legend_format(query.legend)
        .range()
    )
