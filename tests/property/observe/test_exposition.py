"""Our encoder against the client library's own."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from authz_service.observe.exposition import Encoder

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
VALUES = st.floats(allow_nan=True)


class _Planted(Collector):
    """Samples with a time of their own, and label sets that differ in a name alone."""

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def collect(self) -> list[Metric]:
        metric = Metric("e_bytes", "Planted.", "gauge", unit="bytes")
        for number, value in enumerate(self._values):
            metric.add_sample("e_bytes", {"n": str(number)}, value, timestamp=1.5)
            metric.add_sample("e_bytes", {"m": str(number)}, value)
        return [metric]


@given(
    st.lists(st.tuples(TEXT, TEXT, st.floats(0, 1e300)), max_size=4),
    st.lists(VALUES, max_size=3),
    TEXT,
)
def test_the_text_is_the_librarys_byte_for_byte(
    events: list[tuple[str, str, float]], gauges: list[float], words: str
) -> None:
    """Also the second time, when the series are known already."""
    registry, encoder = CollectorRegistry(), Encoder()
    total = Counter("a_total", words, ["z", "a"], registry=registry)
    times = Histogram("b_seconds", "b", ["a"], unit="seconds", registry=registry)
    gauge = Gauge("c", words, registry=registry)
    Info("d", "d", registry=registry).info({"words": words})
    registry.register(_Planted(gauges))
    library, _ = choose_encoder("application/openmetrics-text")
    for one, other, number in events:
        total.labels(one, other).inc(number)
        times.labels(one).observe(number, {"id": other})
        assert encoder.encode(registry.collect()) == library(registry)
    for number in gauges:
        gauge.set(number)
        assert encoder.encode(registry.collect()) == library(registry)
    assert encoder.encode(registry.collect()) == library(registry)
