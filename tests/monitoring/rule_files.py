"""What rules, alerts, their tests and runbooks say; and what docs/metrics.md says there is."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "monitoring" / "prometheus"
RULES: Final = FOLDER / "rules.yaml"
ALERTS: Final = FOLDER / "alerts.yaml"
UNIT_TESTS: Final = tuple(sorted(FOLDER.glob("*_test.yaml")))
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
GUIDE: Final = ROOT / "docs" / "metrics.md"

TARGET_LABELS: Final = frozenset({"job", "instance"})
"""Prometheus puts these on everything it scrapes."""

_HISTOGRAM: Final = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True)
class Series:
    """A series as it is documented. `type` of a histogram's parts is `counter`."""

    type: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule or an alert."""

    name: str
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def read(file: Path) -> Any:  # noqa: ANN401 - YAML is what it is
    """A YAML file."""
    return yaml.safe_load(file.read_text("utf-8"))


def rules(file: Path, kind: str) -> list[Rule]:
    """The rules of a file: `kind` is `record` or `alert`."""
    return [
        Rule(rule[kind], rule["expr"], rule.get("labels", {}), rule.get("annotations", {}))
        for group in read(file)["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    """All alerts; several may have one name, with a severity each."""
    return rules(ALERTS, "alert")


def records() -> list[Rule]:
    """All recording rules."""
    return rules(RULES, "record")


def queries_of(runbook: Path) -> list[str]:
    """The queries that a runbook shows, one a line."""
    blocks = re.findall(r"```promql\n(.*?)```", runbook.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def commands_of(runbook: Path) -> list[str]:
    """The command lines that a runbook shows."""
    blocks = re.findall(r"```sh\n(.*?)```", runbook.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def runbooks() -> list[Path]:
    """One page each; the list of them is none."""
    return sorted(file for file in RUNBOOKS.glob("*.md") if file.name != "README.md")


def expressions() -> Iterator[tuple[str, str]]:
    """Everything that Prometheus is asked, with the name of who asks."""
    for rule in [*records(), *alerts()]:
        yield rule.name, rule.expression
    for runbook in runbooks():
        for query in queries_of(runbook):
            yield runbook.name, query


@cache
def known() -> Mapping[str, Series]:
    """Every series there is: documented, recorded, or Prometheus's own."""
    rows = re.findall(
        r"^\| `(\w+)` \| (counter|histogram|gauge|info) \|([^|]*)\|",
        GUIDE.read_text("utf-8").replace("`PREFIX_", "`imagen_"),
        re.MULTILINE,
    )
    found = {"up": Series("gauge", TARGET_LABELS)}
    found |= {rule.name: Series("gauge", frozenset()) for rule in records()}
    for name, kind, cell in rows:
        labels = frozenset(re.findall(r"`(\w+)`", cell)) | TARGET_LABELS
        if kind == "histogram":
            found |= {name + ending: Series("counter", labels) for ending in _HISTOGRAM}
            found[f"{name}_bucket"] = Series("counter", labels | {"le"})
        else:
            found[name] = Series(kind, labels)
    return found


def label_values() -> set[str]:
    """Every word that the documentation has in backquotes, the bounds of buckets, and jobs."""
    text = GUIDE.read_text("utf-8")
    bounds = " ".join(re.findall(r"^(?:- )?Buckets (?:in|of) .*$", text, re.MULTILINE))
    jobs = {job["job_name"] for job in read(FOLDER / "prometheus.yaml")["scrape_configs"]}
    return set(re.findall(r"`([\w./-]+)`", text)) | set(re.findall(r"[\d.]*\d", bounds)) | jobs
