"""TLS certificates as one process has them, and clients that it does not answer."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import Counter, Gauge, Metric
from prometheus_client.registry import Collector

EXPIRY_GAUGE: Final = "authz_tls_certificate_expiry_timestamp_seconds"


class TlsSeries(Collector):
    """There only where TLS is."""

    def __init__(self) -> None:
        self._expiry = Gauge(
            EXPIRY_GAUGE,
            "When the certificate in force expires; the least over workers.",
            registry=None,
        )
        self._failed = Gauge(
            "authz_tls_reload_failed",
            "1 while the newest certificate files are refused; the greatest over workers.",
            registry=None,
        )
        self._refused_clients = Counter(
            "authz_tls_clients_refused_total",
            "Calls of clients whose certificate is good and whose name is not on the list.",
            registry=None,
        )

    def loaded(self, *, expires_at_ms: int) -> None:
        """Certificates took effect, the first of which expires then (epoch)."""
        self._expiry.set(expires_at_ms / 1000)
        self._failed.set(0)

    def refused(self) -> None:
        """The newest files are not fit for use; those before them stay in effect."""
        self._failed.set(1)

    def client_refused(self) -> None:
        """A client asked that may not."""
        self._refused_clients.inc()

    def collect(self) -> Iterator[Metric]:
        """The series to expose."""
        for series in (self._expiry, self._failed, self._refused_clients):
            yield from series.collect()
