"""The series about descriptor files."""

from math import isnan

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from authz_service.observe.metrics import Metrics


def told(metrics: Metrics) -> list[float]:
    """Whether the newest files are refused, how many limits count, and since when."""
    families = text_string_to_metric_families(  # type: ignore[no-untyped-call]
        metrics.exposition().decode()
    )
    values = {family.name: family.samples[0].value for family in families if family.samples}
    names = ("files_failed", "rules_loaded", "files_last_success_timestamp_seconds")
    return [values[f"authz_ratelimit_{name}"] for name in names]


def test_refused_files_are_told_until_good_ones_come() -> None:
    """While they are refused, the last good ones stay what counts, and their age is told."""
    metrics = Metrics()
    metrics.descriptor_files.loaded(3, at_ms=1_000)
    metrics.descriptor_files.refused()
    assert told(metrics) == [1, 3, 1]
    metrics.descriptor_files.loaded(4, at_ms=2_500)
    assert told(metrics) == [0, 4, 2.5]


def test_files_without_a_limit_are_not_as_no_files() -> None:
    """A folder that limits nothing shows as 0; without a folder there is no number."""
    metrics = Metrics()
    failed, *others = told(metrics)
    assert failed == 0
    assert all(map(isnan, others))
    metrics.descriptor_files.loaded(0, at_ms=1_000)
    assert told(metrics) == [0, 0, 1]
