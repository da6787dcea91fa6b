"""Prometheus's own tool has nothing to say against rules and alerts, and sees them fire."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.monitoring.rule_files import ALERTS, FOLDER, RULES, UNIT_TESTS

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """The exit code, and everything that is said."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=50
    )
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_rules() -> None:
    """Not even what it calls lint."""
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES, ALERTS)
    assert code == 0, said


@pytest.mark.parametrize("file", ["prometheus.yaml", "prometheus-compose.yaml"])
def test_promtool_finds_nothing_wrong_with_a_configuration(file: str) -> None:
    """The rules it names included."""
    code, said = promtool("check", "config", FOLDER / file)
    assert code == 0, said


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda it: it.name)
def test_every_unit_test_passes(file: Path) -> None:
    """Alerts fire when they should, and only then."""
    code, said = promtool("test", "rules", file)
    assert code == 0, said
