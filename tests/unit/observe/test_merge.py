"""Several workers' expositions become one."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from authz_service.observe.merge import MalformedExpositionError, Merger, Rule

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def exposition(*lines: str) -> bytes:
    """A text of these lines."""
    return "\n".join([*lines, "# EOF", ""]).encode()


def counting(value: float, created: float = 1.0) -> bytes:
    """A worker that has counted so much."""
    return exposition("# TYPE a counter", f"a_total {value}", f"a_created {created}")


def showing(value: float | str) -> bytes:
    """A worker with a gauge."""
    return exposition("# TYPE g gauge", f"g {value}")


def samples(merger: Merger) -> Sequence[Sample]:
    """Everything that is shown, in order."""
    return [sample for family in merger.families() for sample in family.samples]


def values(merger: Merger) -> dict[str, float]:
    """The values of series that have no labels."""
    return {sample.name: sample.value for sample in samples(merger)}


def test_counters_are_added_up_from_the_earliest_start() -> None:
    """The sum is as old as its oldest part."""
    merger = Merger({})
    merger.update("a", counting(2, created=20))
    merger.update("b", counting(3, created=10))
    assert values(merger) == {"a_total": 5, "a_created": 10}


def test_a_snapshot_replaces_the_one_before() -> None:
    """A worker is not counted twice."""
    merger = Merger({})
    merger.update("a", counting(2))
    merger.update("a", counting(3))
    assert values(merger)["a_total"] == 3


def test_the_dead_are_counted() -> None:
    """Under its old name a new worker starts from zero, and the sum goes on."""
    merger = Merger({})
    merger.update("a", counting(2))
    merger.retire("a")
    merger.update("a", counting(1))
    merger.retire("a")
    merger.retire("a")
    merger.retire("never seen")
    assert values(merger)["a_total"] == 3


@pytest.mark.parametrize("shown", [showing("1"), exposition("# TYPE i info", 'i_info{v="1"} 1.0')])
def test_gauges_go_with_their_worker(shown: bytes) -> None:
    """What was so is so no longer."""
    merger = Merger({})
    merger.update("a", shown)
    assert samples(merger)
    merger.retire("a")
    assert not samples(merger)


@pytest.mark.parametrize(("rule", "shown"), [(None, 7), (max, 7), (min, -2), (sum, 5)])
def test_a_rule_combines_gauges(rule: Rule | None, shown: float) -> None:
    """The greatest is shown unless the name has a rule."""
    merger = Merger({"g": rule} if rule else {})
    merger.update("a", showing(-2))
    merger.update("b", showing(7))
    assert values(merger) == {"g": shown}


@pytest.mark.parametrize("order", [("NaN", 3), (3, "NaN")])
def test_a_gauge_that_has_no_number_hides_none(order: tuple[float | str, ...]) -> None:
    """Whichever worker has it."""
    merger = Merger({"g": min})
    for number, value in enumerate(order):
        merger.update(str(number), showing(value))
    assert values(merger) == {"g": 3}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not an exposition\n# EOF\n",
        b"\xff\xfe\n# EOF\n",
        counting(9).removesuffix(b"# EOF\n"),
        counting(9)[:20],
        counting(-1),
        exposition(
            "# TYPE h histogram", 'h{x="y"} {count:1,sum:1,schema:1,zero_threshold:1,zero_count:1}'
        ),
    ],
)
def test_a_text_that_cannot_be_read_changes_nothing(text: bytes) -> None:
    """What its worker said before stands: the sum must not fall and rise again."""
    merger = Merger({})
    merger.update("a", counting(2))
    with pytest.raises(MalformedExpositionError):
        merger.update("a", text)
    assert values(merger)["a_total"] == 2


def test_families_are_in_order_of_name() -> None:
    """One scrape looks like the next, whoever came first."""
    merger = Merger({})
    merger.update("a", exposition("# TYPE z gauge", "z 1", "# TYPE b gauge", "b 1"))
    merger.update("b", counting(1))
    assert [family.name for family in merger.families()] == ["a", "b", "z"]


def test_a_worker_that_contradicts_on_type_is_left_out() -> None:
    """The rest is shown, each name once."""
    merger = Merger({})
    merger.update("a", counting(2))
    merger.update("b", exposition("# TYPE a gauge", "a 5", "# TYPE g gauge", "g 1"))
    assert values(merger) == {"a_total": 2, "a_created": 1, "g": 1}
    assert merger.render(OPENMETRICS)[0].count(b"# TYPE a ") == 1


def test_the_newest_exemplar_is_shown() -> None:
    """Its labels, value and time come through."""
    merger = Merger({})
    for worker, when in (("a", 5.0), ("b", 9.0), ("c", 7.0)):
        merger.update(
            worker,
            exposition(
                "# TYPE h histogram",
                f'h_bucket{{le="+Inf"}} 1 # {{id="{worker}"}} 0.5 {when}',
                "h_count 1",
                "h_sum 0.5",
            ),
        )
    text, _ = merger.render(OPENMETRICS)
    assert b'h_bucket{le="+Inf"} 3.0 # {id="b"} 0.5 9.000000000' in text


def test_all_that_a_registry_shows_survives() -> None:
    """One worker's exposition comes out as it went in, families by name, labels and all."""
    registry = CollectorRegistry()
    Counter("a_total", "Some \\ text\nin lines", ["x"], registry=registry).labels('q"\\\n').inc(2)
    Gauge("b", "b", registry=registry).set(-1)
    Histogram("c_seconds", "c", ["x"], unit="seconds", registry=registry).labels("y").observe(0.3)
    Info("d", "d", registry=registry).info({"digest": "e"})
    Summary("f", "f", registry=registry).observe(2)
    encode, content_type = choose_encoder("application/openmetrics-text")
    text = encode(registry)
    merger = Merger({})
    merger.update("a", text)
    assert merger.render(OPENMETRICS) == (text, content_type)


def test_label_sets_stay_together() -> None:
    """A histogram's samples are side by side though workers know different label sets."""
    merger = Merger({})
    for worker, label in (("a", "y"), ("b", "x"), ("c", "y")):
        registry = CollectorRegistry()
        Histogram("h", "h", ["l"], registry=registry, buckets=(1, 2)).labels(label).observe(1)
        merger.update(worker, choose_encoder(OPENMETRICS)[0](registry))
    text, _ = merger.render(OPENMETRICS)
    # The parser refuses label sets that are interleaved.
    (family,) = text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    assert [sample.labels["l"] for sample in family.samples] == ["x"] * 6 + ["y"] * 6


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", "application/json", "\udcff;=,"])
def test_the_older_format_is_for_all_others(accept: str) -> None:
    """It has no creation times: there they would be series of their own."""
    merger = Merger({})
    merger.update("a", counting(2))
    text, content_type = merger.render(accept)
    assert b"a_total 2.0" in text
    assert b"created" not in text
    assert b"# EOF" not in text
    assert content_type.startswith("text/plain; version=0.0.4")
