"""How full the limits are: which of them callers come near to, and which they run into."""

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from authz_service.core.meter import Metered, Reading

_NEAR: Final = 5
"""A limit is near when less than a fifth of it is left."""

_MOST_NAMES: Final = 200
_OTHER: Final = "other"


class Fill(StrEnum):
    """How full a limit was for one request, as the label `outcome` names it."""

    WITHIN = "within"
    NEAR = "near"  # admitted or not, less than a fifth is left
    OVER = "over"  # this limit refused the request


class LimitSeries:
    """The limits that requests were charged to, by name.

    Names come from the policy and from keys that have limits of their own. There are few; should
    there be many, those that come late are counted together.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "authz_limit_requests_total",
            "Requests by limit, and by how full it was; near is with less than a fifth left.",
            ("limit", "outcome"),
            registry=registry,
        )
        self._by_name: dict[str, dict[Fill, Counter]] = {}

    def metered(self, metered: Metered) -> None:
        """The limits of one request were looked at."""
        for reading in metered.readings:
            name = reading.charge.limit.name
            counters = self._by_name.get(name)
            if counters is None:
                counters = self._counters(name)
            counters[_fill(reading)].inc()

    def _counters(self, name: str) -> dict[Fill, Counter]:
        if len(self._by_name) >= _MOST_NAMES and name != _OTHER:
            return self._by_name.get(_OTHER) or self._counters(_OTHER)
        made = {fill: self._requests.labels(name, fill.value) for fill in Fill}
        self._by_name[name] = made
        return made


def _fill(reading: Reading) -> Fill:
    if reading.retry_after_ms:
        return Fill.OVER
    limit = reading.charge.limit.limit
    return Fill.NEAR if reading.remaining * _NEAR < limit else Fill.WITHIN
