"""The series about workers that were started anew."""

from authz_service.observe.metrics import Metrics
from authz_service.observe.restart_series import worker_restarts
from authz_service.supervise.workers import Cause


def test_restarts_are_counted_by_reason() -> None:
    """Both reasons are there from the start, at 0; each restart adds one to its own."""
    metrics, series = Metrics(), worker_restarts()
    metrics.register(series.collector)
    told = []
    for cause in (None, Cause.DIED, Cause.HUNG, Cause.HUNG):
        if cause is not None:
            series.count(cause)
        lines = metrics.exposition().decode().splitlines()
        told.append([line[-3:] for line in lines if line.startswith("authz_worker_restarts_total")])
    assert told == [["0.0", "0.0"], ["1.0", "0.0"], ["1.0", "1.0"], ["1.0", "2.0"]]
