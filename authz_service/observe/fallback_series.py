"""How long the shared store was left alone, right at every scrape, while it lasts too."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class FallbackSeconds(Collector):
    """This process's part of the seconds.

    Counters of workers are added up. So each of N workers counts an Nth of its time: together that
    is the mean over workers, one second a second while all of them do without the store.
    """

    def __init__(self) -> None:
        self._seconds: Callable[[], float] = float

    def follow(self, seconds: Callable[[], float]) -> None:
        """From now on `seconds` tells the part of this process. It must never fall."""
        self._seconds = seconds

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        family = CounterMetricFamily(
            "authz_fallback_seconds",
            "Time in which the shared counter store, or a part of it, was left alone; the mean "
            "over workers.",
        )
        family.add_metric((), self._seconds())
        yield family
