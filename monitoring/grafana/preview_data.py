"""What a Prometheus has to show in each panel of the dashboard."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlencode

from monitoring.grafana.panels import WINDOW

_TIMEOUT_S: Final = 30
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds since 1970, and how far apart points are."""

    start_s: float
    end_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: its name in the legend, and its points by time, gaps left out."""

    name: str
    points: Mapping[float, float]


def lines(address: str, panel: Mapping[str, Any], span: Span, *, window: str) -> Sequence[Line]:
    """Everything a panel draws, of the Prometheus at `address` (`HOST:PORT`).

    `window` is what a rate looks at, as in `30s`; Grafana takes four scrapes at least.

    Raises:
        ValueError: Prometheus refuses a query.
        OSError: it cannot be asked.
    """
    return [
        Line(_name(target["legendFormat"], found["metric"]), _points(found["values"]))
        for target in panel["targets"]
        for found in _ask(address, target["expr"].replace(WINDOW, f"[{window}]"), span)
    ]


def _ask(address: str, query: str, span: Span) -> Any:  # noqa: ANN401 - JSON
    asked = {"query": query, "start": span.start_s, "end": span.end_s, "step": span.step_s}
    connection = HTTPConnection(address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/api/v1/query_range?{urlencode(asked)}")
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    if reply.status != _OK:
        raise ValueError(f"{query}: {body.decode(errors='replace')}")
    return json.loads(body)["data"]["result"]


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend).strip()


def _points(values: Sequence[tuple[float, str]]) -> Mapping[float, float]:
    numbers = {time_s: float(text) for time_s, text in values}
    return {time_s: number for time_s, number in numbers.items() if math.isfinite(number)}
