"""How full the limits are: which of them callers come near to, and which they run into."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from authz_service.core.meter import Metered

_OUTCOMES: Final = ("within", "near", "over")
_WITHIN, _NEAR, _OVER = range(3)
_NEAR_PART: Final = 5
"""A limit is near when less than a fifth of it is left."""

_MOST_NAMES: Final = 200
_OTHER: Final = "other"


class LimitSeries(Collector):
    """The limits that requests were charged to, by name.

    Every check counts here, once a limit, so these are plain numbers until somebody scrapes. Names
    come from the policy and from keys that have limits of their own. There are few; should there
    be many, those that come late are counted together.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, list[int]] = {}

    def metered(self, metered: Metered) -> None:
        """The limits of one request were looked at."""
        for reading in metered.readings:
            limit = reading.charge.limit
            counts = self._by_name.get(limit.name) or self._counts(limit.name)
            if reading.retry_after_ms:
                counts[_OVER] += 1
            elif reading.remaining * _NEAR_PART < limit.limit:
                counts[_NEAR] += 1
            else:
                counts[_WITHIN] += 1

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        family = CounterMetricFamily(
            "authz_limit_requests",
            "Requests by limit, and by how full it was; near is with less than a fifth left.",
            labels=("limit", "outcome"),
        )
        for name, counts in self._by_name.items():
            for outcome, count in zip(_OUTCOMES, counts, strict=True):
                family.add_metric((name, outcome), count)
        yield family

    def _counts(self, name: str) -> list[int]:
        shown = name if len(self._by_name) < _MOST_NAMES else _OTHER
        return self._by_name.setdefault(shown, [0] * len(_OUTCOMES))
