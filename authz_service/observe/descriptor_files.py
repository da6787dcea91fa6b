"""Whether the newest descriptor files are those that requests are counted by."""

from prometheus_client import Gauge
from prometheus_client.registry import Collector


class DescriptorFiles:
    """One number; 0 also where there are no such files."""

    def __init__(self) -> None:
        self._failed = Gauge(
            "authz_ratelimit_files_failed",
            "1 while the newest descriptor files are refused; the greatest over workers.",
            registry=None,
        )

    @property
    def collector(self) -> Collector:
        """The series to expose."""
        return self._failed

    def judged(self, *, refused: bool) -> None:
        """The files were read: the last good ones stay in effect, or these are."""
        self._failed.set(refused)
