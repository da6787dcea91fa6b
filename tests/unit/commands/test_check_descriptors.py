"""`check-descriptors`: what it prints where, and its exit codes."""

import json
from pathlib import Path

import pytest

from authz_service.cli import main
from authz_service.descriptors.sources import load_descriptors

LIMITS = """\
domain: shop
descriptors:
  - key: user
    shadow_mode: true
    rate_limit: {unit: minute, requests_per_unit: 3}
    descriptors:
      - {key: path, value: /a, quota_mode: true, rate_limit: {unit: day, unit_multiplier: 2}}
  - {key: staff, rate_limit: {unlimited: true}}
"""
MISPLACED = "domain: other\nunit: day\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one right file."""
    (tmp_path / "limits.yaml").write_text(LIMITS)
    return tmp_path


def test_right_files_are_printed_limit_by_limit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sorted by name, in the form that the dumps of the other service have."""
    assert main(["check-descriptors", str(folder)]) == 0
    assert capsys.readouterr().out == (
        "shop.staff: unit=UNKNOWN requests_per_unit=0, shadow_mode: false, quota_mode: false\n"
        "shop.user: unit=MINUTE requests_per_unit=3, shadow_mode: true, quota_mode: false\n"
        "shop.user.path_/a: unit=DAY unit_multiplier=2 requests_per_unit=0,"
        " shadow_mode: false, quota_mode: true\n"
    )


@pytest.mark.parametrize("name", [".hidden.yaml", "limits.yaml"])
def test_a_folder_that_limits_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It is not wrong, so one line beside the result says so."""
    (tmp_path / name).write_text("domain: shop\ndescriptors: [{key: user}]\n")
    assert main(["check-descriptors", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "warning: there is no limit in it\n")


def test_right_files_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that a limit says, and the digest of the rules."""
    assert main(["check-descriptors", str(folder), "--json", "--algorithm", "fixed"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert len(told["digest"]) == 12
    assert [it["limit"] for it in told["limits"]] == [
        "shop.staff",
        "shop.user",
        "shop.user.path_/a",
    ]
    assert told["limits"][1] == {
        "limit": "shop.user",
        "unit": "minute",
        "unit_multiplier": 1,
        "requests_per_unit": 3,
        "algorithm": "fixed",
        "name": "",
        "replaces": [],
        "shadow_mode": True,
        "quota_mode": False,
        "metadata": {},
        "on_store_failure": "local",
    }


def test_the_digest_is_that_of_the_service(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a running one can be compared with its files."""
    assert main(["check-descriptors", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == load_descriptors(folder).digest


def test_wrong_files_are_told_problem_by_problem(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error; or as JSON."""
    (folder / "other.yaml").write_text(MISPLACED)
    (folder / "third.yaml").write_text(LIMITS)
    problems = [
        "other.yaml:2: 'unit' does nothing in the file; it belongs into rate_limit",
        "third.yaml: duplicate domain 'shop' in config file",
    ]
    assert main(["check-descriptors", str(folder)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()) == ("", [f"error: {it}" for it in problems])
    assert main(["check-descriptors", str(folder), "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"ok": False, "problems": problems}


def test_domains_can_be_merged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then a second file may have more of them."""
    (folder / "more.yaml").write_text(
        "domain: shop\ndescriptors: [{key: x, rate_limit: {unit: day}}]"
    )
    assert main(["check-descriptors", str(folder), "--merge-domains"]) == 0
    assert "shop.x: unit=DAY requests_per_unit=0" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named."""
    missing = tmp_path / "missing"
    problem = f"{missing}: cannot be read: No such file or directory"
    assert main(["check-descriptors", str(missing)]) == 2
    assert capsys.readouterr().err == f"error: {problem}\n"
    assert main(["check-descriptors", str(missing), "--json", "--report"]) == 2
    assert json.loads(capsys.readouterr().out) == {"ok": False, "problems": [problem]}


def test_the_report_tells_what_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misplaced key is a change and no error there; the command succeeds."""
    (folder / "other.yaml").write_text(MISPLACED)
    (folder / ".git").touch()
    assert main(["check-descriptors", str(folder), "--report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0] == ".git: is not read: its name begins with a dot"
    assert lines[-1].startswith("other.yaml:2: 'unit' does nothing in the file")
    assert main(["check-descriptors", str(folder), "--report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "changes": lines}


def test_a_report_on_wrong_files_tells_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the other service refuses cannot change."""
    (folder / "other.yaml").write_text("unit: day")
    assert main(["check-descriptors", str(folder), "--report"]) == 2
    assert capsys.readouterr().err == "error: other.yaml: config file cannot have empty domain\n"
