"""Where the time of an answered check goes: its stages, as plain numbers until somebody scrapes.

A histogram of the client library takes a lock each time, which is more than a stage often takes.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from authz_service.observe.buckets import BUCKETS_SECONDS

_BOUNDS: Final = (*map(repr, BUCKETS_SECONDS), "+Inf")


class StageSeries(Collector):
    """The stages `identify`, `meter` and `respond`."""

    def __init__(self) -> None:
        self._identify, self._meter, self._respond = _Stage(), _Stage(), _Stage()

    def passed(self, identify_s: float, meter_s: float, respond_s: float) -> None:
        """A check went through all of them, in so many seconds each."""
        self._identify.took(identify_s)
        self._meter.took(meter_s)
        self._respond.took(respond_s)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        family = HistogramMetricFamily(
            "authz_stage_duration_seconds",
            "Time that a stage of a check took.",
            labels=("stage",),
        )
        stages = {"identify": self._identify, "meter": self._meter, "respond": self._respond}
        for name, stage in stages.items():
            counts = zip(_BOUNDS, accumulate(stage.counts), strict=True)
            family.add_metric((name,), [*counts], stage.seconds)
        yield family


class _Stage:
    """How many checks fell into each bucket, and their seconds together."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds
