"""Hits by rule, named as those of envoyproxy/ratelimit, but for the `_total` of counters."""

from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from authz_service.core.descriptor_metrics import Increments

_PREFIX: Final = "ratelimit_service_rate_limit"
_HELP: Final = {
    "total_hits": "Hits of a rule, whatever became of them.",
    "within_limit": "Hits within the limit.",
    "near_limit": "Hits within the limit, and near it.",
    "over_limit": "Hits over the limit.",
    "shadow_mode": "Hits over the limit that a rule in shadow let pass.",
}
_MOST_RULES: Final = 2_000
_OTHER: Final = ("other", "")
_LONGEST_NAME: Final = 200


class RuleSeries(Collector):
    """Plain numbers until somebody scrapes.

    Rules may put values of requests into their names (`value_to_metric`, `detailed_metric`): after
    2,000 names the rest is counted together, under the domain `other`. Names end after 200
    characters.
    """

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str], list[int]] = {}

    def hit(self, domain: str, rule: str, increments: Increments) -> None:
        """One hit of a rule."""
        rule = rule[:_LONGEST_NAME]
        counts = self._rules.get((domain, rule)) or self._counts(domain, rule)
        for place, increment in enumerate(astuple(increments)):
            counts[place] += increment

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        for place, (name, text) in enumerate(_HELP.items()):
            family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=("domain", "rule"))
            for labels, counts in self._rules.items():
                family.add_metric(labels, counts[place])
            yield family

    def _counts(self, domain: str, rule: str) -> list[int]:
        shown = (domain, rule) if len(self._rules) < _MOST_RULES else _OTHER
        return self._rules.setdefault(shown, [0] * len(_HELP))
