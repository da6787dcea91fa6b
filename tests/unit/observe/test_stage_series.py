"""The time of the stages of a check."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from authz_service.observe.metrics import Metrics


def test_a_stage_is_counted_in_its_bucket() -> None:
    """Each stage by itself; a time that is a bound belongs to it; what is longer is in the sum."""
    metrics = Metrics()
    metrics.stages.passed(0.000_1, 0.002, 9.0)
    metrics.stages.passed(0.000_2, 0.3, 0.000_05)
    families = text_string_to_metric_families(  # type: ignore[no-untyped-call]
        metrics.exposition().decode()
    )
    (family,) = (it for it in families if it.name == "authz_stage_duration_seconds")
    told = {
        (it.labels["stage"], it.labels.get("le", it.name.rpartition("_")[2])): it.value
        for it in family.samples
    }
    assert [told["identify", le] for le in ("0.0001", "0.00025", "+Inf")] == [1, 2, 2]
    assert [told["meter", le] for le in ("0.001", "0.0025", "0.25", "+Inf")] == [0, 1, 1, 2]
    assert [told["respond", le] for le in ("0.0001", "0.25", "+Inf")] == [1, 1, 2]
    assert [told[stage, "count"] for stage in ("identify", "meter", "respond")] == [2, 2, 2]
    assert told["respond", "sum"] == 9.000_05
