"""Whoever is woken finds a page that says what to do, with commands that are there."""

import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from tests.monitoring.rule_files import FOLDER, ROOT, RUNBOOKS, alerts, commands_of, read, runbooks

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
OWN = sorted(
    {
        command
        for runbook in RUNBOOKS.glob("*.md")
        for command in re.findall(
            r"(?:^|`)((?:authz|image)_service [^`\n]+)", runbook.read_text("utf-8"), re.MULTILINE
        )
    }
)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """By its name, where the alert says."""
    named = {alert.annotations["runbook_url"] for alert in alerts()}
    assert named == {f"docs/runbooks/{alert.name}.md" for alert in alerts()}
    assert {ROOT / name for name in named} == set(runbooks())


@pytest.mark.parametrize("runbook", runbooks(), ids=lambda it: it.stem)
def test_every_runbook_has_the_four_headings(runbook: Path) -> None:
    """In this order, each with something to say."""
    title, *sections = re.split(r"^## ", runbook.read_text("utf-8"), flags=re.MULTILINE)
    assert title.strip() == f"# {runbook.stem}"
    assert [section.partition("\n")[0] for section in sections] == HEADINGS
    assert all(section.partition("\n")[2].strip() for section in sections)


def test_the_list_of_runbooks_has_every_alert() -> None:
    """With its severities, the summary of the first one, and in the order of the alerts."""
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (.*?) \| (.*?) \|$", index(), re.MULTILINE)
    expected: dict[str, tuple[str, str]] = {}
    for alert in alerts():
        severity, summary = alert.labels["severity"], alert.annotations["summary"]
        if alert.name in expected:
            earlier, summary = expected[alert.name]
            severity = f"{earlier}, {severity}"
        expected[alert.name] = (severity, summary)
    assert rows == [(name, *told) for name, told in expected.items()]


def index() -> str:
    """The page that lists them."""
    return (RUNBOOKS / "README.md").read_text("utf-8")


def test_runbooks_show_commands_of_this_project_and_of_everybody() -> None:
    """`curl` at ports that are scraped, the server's client, and our own two programs."""
    ports = "|".join(re.findall(r"127\.0\.0\.1:(\d+)", str(read(FOLDER / "prometheus.yaml"))))
    usual = rf"curl -s http://localhost:({ports})/\w+.*|curl .* JWKS_URL|redis-cli -u .*"
    strange = [
        line
        for runbook in runbooks()
        for line in commands_of(runbook)
        if not re.fullmatch(rf"{usual}|(authz|image)_service .*", line)
    ]
    assert strange == []


@pytest.mark.parametrize("command", OWN)
def test_every_command_of_ours_exists(command: str) -> None:
    """With the options that are shown."""
    program, *words = command.split()
    names = list(takewhile(re.compile("[a-z-]+").fullmatch, words))
    shown = subprocess.run(
        [sys.executable, "-m", program, *names, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=ROOT,
    )
    assert shown.returncode == 0, shown.stderr
    assert [word for word in words if word.startswith("--") and word not in shown.stdout] == []
