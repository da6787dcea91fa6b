"""Whatever workers there are: merging is adding up, in any order, and loses nothing."""

from collections import Counter as Bag
from collections.abc import Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

from authz_service.observe.envoy_stats import request_series
from authz_service.observe.merge import MalformedExpositionError, Merger, render

OPENMETRICS = "application/openmetrics-text"
BOUNDS = (1.0, 5.0, float("inf"))

LABELS = st.sampled_from(["x", "y", 'q"\\\n', "é", ""])
# Whole numbers: their sums are exact, so equality means equality.
EVENTS = st.lists(st.tuples(LABELS, st.integers(0, 10)), max_size=8)
Events = Sequence[tuple[str, int]]


def worker(events: Events) -> bytes:
    """The exposition of one that has seen these events."""
    registry = CollectorRegistry()
    total = Counter("a_total", "a", ["l"], registry=registry)
    sizes = Histogram("h", "h", ["l"], buckets=BOUNDS, registry=registry)
    for label, size in events:
        total.labels(label).inc(size)
        sizes.labels(label).observe(size)
    return choose_encoder(OPENMETRICS)[0](registry)


def shown(merger: Merger) -> dict[tuple[str, ...], float]:
    """Every series, creation times left out."""
    return {
        (sample.name, *chain(*sorted(sample.labels.items()))): sample.value
        for family in merger.families()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def expected(events: Events) -> dict[tuple[str, ...], float]:
    """The same, by arithmetic."""
    series: Bag[tuple[str, ...]] = Bag()
    for label, size in events:
        series["a_total", "l", label] += size
        series["h_count", "l", label] += 1
        series["h_sum", "l", label] += size
        for bound, name in zip(BOUNDS, ("1.0", "5.0", "+Inf"), strict=True):
            series["h_bucket", "l", label, "le", name] += size <= bound
    return {tuple(key): value for key, value in series.items()}


def by_label_name(series: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Keys with their labels in order of name, as `shown` has them."""
    ordered = {}
    for (name, *labels), value in series.items():
        pairs = sorted(zip(labels[::2], labels[1::2], strict=True))
        ordered[name, *chain(*pairs)] = value
    return ordered


@given(st.lists(EVENTS, max_size=4))
def test_merging_is_adding_up(workers: list[Events]) -> None:
    """The sum over workers is what one worker would have counted."""
    merger = Merger({})
    for number, events in enumerate(workers):
        merger.update(str(number), worker(events))
    assert shown(merger) == by_label_name(expected(list(chain(*workers))))


@given(st.lists(EVENTS, min_size=1, max_size=4), st.data())
def test_death_loses_nothing(workers: list[Events], data: st.DataObject) -> None:
    """Whoever is retired, and in whatever order, the sums stand."""
    merger = Merger({})
    for number, events in enumerate(workers):
        merger.update(str(number), worker(events))
    before = shown(merger)
    names = data.draw(st.lists(st.sampled_from([str(n) for n in range(len(workers))])))
    for name in names:
        merger.retire(name)
        assert shown(merger) == before


@given(st.lists(EVENTS, min_size=1, max_size=4), st.data())
def test_the_order_of_updates_does_not_matter(workers: list[Events], data: st.DataObject) -> None:
    """Byte for byte."""
    texts = [(str(number), worker(events)) for number, events in enumerate(workers)]
    one, other = Merger({}), Merger({})
    for name, text in texts:
        one.update(name, text)
    for name, text in data.draw(st.permutations(texts)):
        other.update(name, text)
    assert one.render(OPENMETRICS) == other.render(OPENMETRICS)


LINES = st.lists(
    st.one_of(
        st.sampled_from(worker([("x", 3), ("y", 9)]).decode().splitlines()),
        st.text(max_size=30),
        st.sampled_from(["# EOF", "# TYPE a counter", 'a_total{l="', "# HELP a", 'h{l="x"} {}']),
    )
)


@given(LINES, st.text(max_size=40))
def test_no_text_breaks_a_merge(lines: list[str], accept: str) -> None:
    """It is read or refused; in either case everything can be shown."""
    merger = Merger({})
    merger.update("good", worker([("x", 1)]))
    text = "\n".join([*lines, "# EOF", ""]).encode("utf-8", "surrogatepass")
    try:
        merger.update("junk", text)
    except MalformedExpositionError:
        assert shown(merger) == by_label_name(expected([("x", 1)]))
    merger.render(accept)
    merger.render(OPENMETRICS)
    merger.retire("junk")
    merger.render(OPENMETRICS)


ENVOY_LINE = st.builds(
    "envoy_a_{}{{method={},endpoint={},le={}}} {}".format,
    st.sampled_from(
        ["http_requests_total", "http_request_duration_bucket", "http_request_duration_sum"]
    ),
    *[st.sampled_from(['"GET"', '""', '"1"', '"+Inf"', '"NaN"', '"-1"', '"\\', "x"])] * 3,
    st.one_of(st.floats().map(repr), st.text(max_size=5)),
)


@given(st.lists(st.one_of(ENVOY_LINE, st.text(max_size=40))), st.sampled_from(["a", "b"]))
def test_no_text_of_envoy_breaks_a_scrape(lines: list[str], prefix: str) -> None:
    """Whatever it says, what comes out can be shown."""
    families = request_series("\n".join(lines), prefix=prefix)
    assert len(families) == 3
    render(families, OPENMETRICS)
    render(families, "")
