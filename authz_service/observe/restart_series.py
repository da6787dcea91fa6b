"""How often the supervisor had to start a worker anew."""

from prometheus_client import Counter
from prometheus_client.registry import Collector

from authz_service.supervise.workers import Cause


class RestartSeries:
    """Workers started anew, by why.

    Every reason is there from the start: an increase from nothing would not show.
    """

    def __init__(self) -> None:
        self._counter = Counter(
            "authz_worker_restarts_total",
            "Workers started anew after one died or hung.",
            ("reason",),
            registry=None,
        )
        self._restarts = {cause: self._counter.labels(cause.value) for cause in Cause}

    @property
    def collector(self) -> Collector:
        """The series to expose."""
        return self._counter

    def restarted(self, cause: Cause) -> None:
        """A worker is started in the place of one that is gone."""
        self._restarts[cause].inc()
