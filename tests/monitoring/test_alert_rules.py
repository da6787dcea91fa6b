"""Rules and alerts ask for what there is, in a way that means something."""

import re
from pathlib import Path

import promql_parser as promql
import pytest

from tests.monitoring.expressions import grouping, uses
from tests.monitoring.rule_files import (
    FOLDER,
    TARGET_LABELS,
    UNIT_TESTS,
    Rule,
    alerts,
    expressions,
    known,
    label_values,
    read,
    records,
)

EXPRESSIONS = list(expressions())
every_expression = pytest.mark.parametrize(
    "expression", [it for _, it in EXPRESSIONS], ids=[name for name, _ in EXPRESSIONS]
)
every_alert = pytest.mark.parametrize(
    "alert", alerts(), ids=lambda it: f"{it.name}-{it.labels.get('severity')}"
)
# Prometheus could also count them by `changes` and others, which miss what is added at once.
_OF_COUNTERS = {"rate", "increase"}


@every_expression
def test_every_expression_is_promql(expression: str) -> None:
    """Types of arguments included."""
    promql.parse(expression)


@every_expression
def test_every_series_exists(expression: str) -> None:
    """Under this name and with these labels, as docs/metrics.md has it."""
    unknown = [it.series for it in uses(expression) if it.series not in known()]
    assert unknown == []
    for use in uses(expression):
        labels = {name for name, _ in use.matchers}
        assert labels <= known()[use.series].labels, use.series


@every_expression
def test_every_value_of_a_label_exists(expression: str) -> None:
    """A misspelt one never fires."""
    asked = {
        part for use in uses(expression) for _, value in use.matchers for part in value.split("|")
    }
    assert asked <= label_values()


@every_expression
def test_every_label_that_is_grouped_by_exists(expression: str) -> None:
    """At one series of the expression at least."""
    there = frozenset[str]().union(*(known()[it.series].labels for it in uses(expression)))
    assert grouping(expression) <= there


@every_expression
def test_counters_are_asked_for_their_growth_and_nothing_else_is(expression: str) -> None:
    """Their value says how long a process has been there."""
    for use in uses(expression):
        is_counter = known()[use.series].type == "counter"
        assert (use.function in _OF_COUNTERS) == is_counter, use.series


@every_alert
def test_every_alert_says_how_bad_it_is_and_what_it_is(alert: Rule) -> None:
    """In a severity that somebody receives, a summary, a description and a runbook."""
    assert alert.labels in ({"severity": "page"}, {"severity": "ticket"})
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert all(text.endswith(".") for text in list(alert.annotations.values())[:2])


@every_alert
def test_every_label_in_an_annotation_exists(alert: Rule) -> None:
    """Prometheus shows nothing for one that does not."""
    there = frozenset[str]().union(*(known()[it.series].labels for it in uses(alert.expression)))
    told = re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values()))
    assert set(told) <= there


def test_every_recorded_series_is_read() -> None:
    """What no alert reads is not recorded."""
    read_by_alerts = {use.series for alert in alerts() for use in uses(alert.expression)}
    assert {rule.name for rule in records()} <= read_by_alerts


def test_windows_differ_in_nothing_but_their_length() -> None:
    """A rule is what the one of five minutes is, with its own window."""
    of_five_minutes = {
        rule.name.removesuffix("5m"): rule.expression
        for rule in records()
        if rule.name.endswith("_rate5m")
    }
    for rule in records():
        base, window = re.fullmatch(r"(.*_rate)(\d+[mhd])", rule.name).groups()  # type: ignore[union-attr]
        assert rule.expression == of_five_minutes[base].replace("[5m]", f"[{window}]")


@every_alert
def test_every_alert_is_seen_to_fire_and_not_to_fire(alert: Rule) -> None:
    """One case each in the unit tests of promtool."""
    expected = [
        [fired["exp_labels"]["severity"] for fired in case["exp_alerts"]]
        for file in UNIT_TESTS
        for test in read(file)["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert.name
    ]
    assert any(alert.labels["severity"] in severities for severities in expected)
    assert any(alert.labels["severity"] not in severities for severities in expected)


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda it: it.name)
def test_unit_tests_are_about_series_that_exist(file: Path) -> None:
    """With labels that they have."""
    for test in read(file)["tests"]:
        for given in test["input_series"]:
            (use,) = uses(given["series"])
            assert {name for name, _ in use.matchers} <= known()[use.series].labels
            assert {name for name, _ in use.matchers} >= TARGET_LABELS


def test_the_example_scrapes_the_local_stack() -> None:
    """Its four ports, on this machine alone, with these rules."""
    example = read(FOLDER / "prometheus.yaml")
    targets = [
        target
        for job in example["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    assert sorted(targets) == [f"127.0.0.1:{port}" for port in (9102, 9103, 9105, 9901)]
    assert [(FOLDER / name).exists() for name in example["rule_files"]] == [True, True]
