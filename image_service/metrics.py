"""What the service counts about its jobs. The names are those of the published API document.

Each series belongs to one of the two processes, so that nobody finds one twice: what is taken and
cancelled to the API, what is worked on to the worker.
"""

from collections.abc import Iterable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

JOB_TYPE: Final = "upscale"
QUEUE_NAME: Final = "upscale-jobs"

Outcome = Literal["success", "failure", "cancelled"]

Role = Literal["api", "worker"]

_OUTCOMES: Final[dict[Role, tuple[Outcome, ...]]] = {
    "api": ("cancelled",),
    "worker": ("success", "failure"),
}
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_MB: Final = 1024 * 1024
_BYTES: Final = (*(_MB // 64, _MB // 16, _MB // 4), *(n * _MB for n in (1, 2, 5, 10, 25, 50, 100)))
_OPENMETRICS: Final = "application/openmetrics-text"


class Metrics:
    """The series of one process, in a registry of their own."""

    def __init__(self, role: Role) -> None:
        self._registry = CollectorRegistry()
        of_api = self._registry if role == "api" else None
        of_worker = self._registry if role == "worker" else None
        self._created = Counter(
            "imagen_jobs_created_total", "Jobs taken.", ["job_type"], registry=of_api
        )
        self._completed = Counter(
            "imagen_jobs_completed_total",
            "Jobs that came to an end.",
            ["job_type", "status"],
            registry=self._registry,
        )
        self._processing = Histogram(
            "imagen_job_processing_seconds",
            "Time from a job's start to its success or failure.",
            ["job_type"],
            buckets=_SECONDS,
            registry=of_worker,
        )
        self._file_size = Histogram(
            "imagen_upload_file_size_bytes",
            "Sizes of files that arrived whole, images or not.",
            ["job_type"],
            buckets=_BYTES,
            registry=of_api,
        )
        self._queue_depth = Gauge(
            "imagen_queue_depth", "Jobs that wait.", ["queue_name"], registry=of_api
        )
        self._show_zeros(role)

    def job_created(self, job_type: str) -> None:
        """A job waits for its turn."""
        self._created.labels(job_type).inc()

    def job_completed(
        self, job_type: str, status: Outcome, *, duration: float | None = None
    ) -> None:
        """A job ended. `duration` is in seconds from its start; None for one that was cancelled."""
        self._completed.labels(job_type, status).inc()
        if duration is not None:
            self._processing.labels(job_type).observe(duration)

    def file_uploaded(self, job_type: str, *, size_bytes: int) -> None:
        """A file arrived whole, whatever it is."""
        self._file_size.labels(job_type).observe(size_bytes)

    def queue_depth(self, queue_name: str, depth: float) -> None:
        """So many wait; not a number where nobody knows."""
        self._queue_depth.labels(queue_name).set(depth)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All series as text, and its content type: OpenMetrics where `accept` names it."""
        if _OPENMETRICS in accept:
            encode, content_type = choose_encoder(_OPENMETRICS)
            return encode(self._registry), content_type
        encode, content_type = choose_encoder("")
        return encode(_WithoutCreationTimes(self._registry)), content_type

    def _show_zeros(self, role: Role) -> None:
        """A rate over a series needs to have seen it before its first event."""
        self._created.labels(JOB_TYPE)
        self._processing.labels(JOB_TYPE)
        self._file_size.labels(JOB_TYPE)
        for outcome in _OUTCOMES[role]:
            self._completed.labels(JOB_TYPE, outcome)


class _WithoutCreationTimes(Collector):
    """The older text format knows none: there they would be series of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [it for it in metric.samples if not it.name.endswith("_created")]
            yield metric
