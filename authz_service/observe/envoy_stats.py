"""Envoy's text of its own statistics → the request series under the names that we publish.

Pure, and indifferent to junk: a line that is not understood is left out.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

NO_METHOD: Final = "none"
NO_ENDPOINT: Final = "other"
CLIENT_GONE: Final = "499"

_TOTAL: Final = "http_requests_total"
_DURATION: Final = "http_request_duration"  # in milliseconds
_IN_PROGRESS: Final = "http_requests_in_progress"
_LABEL: Final = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
_MS_PER_SECOND: Final = 1000

_Where = tuple[str, str]
"""A method and an endpoint."""


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    labels: Mapping[str, str]
    value: float

    @property
    def where(self) -> _Where:
        return self.labels.get("method") or NO_METHOD, self.labels.get("endpoint") or NO_ENDPOINT

    @property
    def status_code(self) -> str:
        """Envoy has no status for a client that went away before the answer: it says 0."""
        code = self.labels.get("status_code", "")
        return CLIENT_GONE if code in {"", "0"} else code


def stats_filter(prefix: str) -> str:
    """The regular expression that makes Envoy's admin interface tell these series alone."""
    return rf"^{re.escape(prefix)}\.http_request"


def request_series(text: str, *, prefix: str) -> Sequence[Metric]:
    """The three request series in `text`, which is in Prometheus's text format.

    Envoy calls them `envoy_PREFIX_…` and measures in milliseconds; seconds come out.
    """
    lines = list(_lines(text, prefix))
    return (
        _totals([line for line in lines if line.name == _TOTAL], prefix),
        _durations([line for line in lines if line.name.startswith(_DURATION)], prefix),
        _in_progress([line for line in lines if line.name == _IN_PROGRESS], prefix),
    )


def _lines(text: str, prefix: str) -> Iterator[_Line]:
    pattern = re.compile(
        rf"^envoy_{re.escape(prefix)}_({_TOTAL}|{_DURATION}_(?:bucket|sum)|{_IN_PROGRESS})"
        r"\{(.*)\} (\S+)$",
        re.MULTILINE,
    )
    for name, labels, number in pattern.findall(text):
        value = _number(number)
        if value is not None and isfinite(value):
            yield _Line(name, _labels(labels), value)


def _labels(text: str) -> Mapping[str, str]:
    return {name: _unescaped(value) for name, value in _LABEL.findall(text)}


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _totals(lines: Iterable[_Line], prefix: str) -> Metric:
    family = CounterMetricFamily(
        f"{prefix}_{_TOTAL}",
        "Requests finished, Envoy's own answers included.",
        labels=("method", "endpoint", "status_code"),
    )
    totals: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for line in lines:
        totals[(*line.where, line.status_code)] += line.value
    for labels, total in sorted(totals.items()):
        family.add_metric(labels, total)
    return family


def _in_progress(lines: Iterable[_Line], prefix: str) -> Metric:
    family = GaugeMetricFamily(
        f"{prefix}_{_IN_PROGRESS}",
        "Requests that have begun and not ended.",
        labels=("method", "endpoint"),
    )
    under_way: defaultdict[_Where, float] = defaultdict(float)
    for line in lines:
        under_way[line.where] += line.value
    for where, count in sorted(under_way.items()):
        family.add_metric(where, count)
    return family


def _durations(lines: Iterable[_Line], prefix: str) -> Metric:
    family = HistogramMetricFamily(
        f"{prefix}_{_DURATION}_seconds",
        "Time from a request's first byte to the last of its answer.",
        labels=("method", "endpoint"),
    )
    buckets: defaultdict[_Where, defaultdict[float, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    sums: defaultdict[_Where, float] = defaultdict(float)
    for line in lines:
        bound = _number(line.labels.get("le", ""))
        if line.name.endswith("_sum"):
            sums[line.where] += line.value
        elif bound is not None:
            buckets[line.where][bound / _MS_PER_SECOND] += line.value
    for where, counts in sorted(buckets.items()):
        if _is_cumulative(counts):
            bounds = [(_bound(bound), counts[bound]) for bound in sorted(counts)]
            family.add_metric(where, bounds, sums[where] / _MS_PER_SECOND)
    return family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == inf else repr(seconds)


def _is_cumulative(counts: Mapping[float, float]) -> bool:
    """Whether counts by upper bound are a histogram: complete, and never falling."""
    in_order = [counts[bound] for bound in sorted(counts)]
    return inf in counts and all(lower <= upper for lower, upper in pairwise(in_order))
