"""Dockerfiles, bills and the compose file, read by programs that know what these must be."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from supply.sbom import IMAGES, document, python_of_images
from tests.deploy.checkov import reports
from tests.deploy.images import DOCKERFILES
from tests.deploy.tools import ROOT, tool

pytestmark = pytest.mark.deploy

LATEST = ("FROM ${BASE} AS packages", "FROM debian:latest AS packages", "DL3007")
SHELL = ('ENTRYPOINT ["authz_service"]', "ENTRYPOINT authz_service", "DL3025")
FOLDER = ("WORKDIR /build", "WORKDIR build", "DL3000")
BILL = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(fault and str(fault))
"""
COMPOSE = """
import sys
from compose_spec import PyCompose
compose = PyCompose.from_json(sys.stdin.read())
compose.validate()
compose.to_spec()
"""


def said(*command: str | Path, text: str = "") -> tuple[int, str]:
    """The exit code of a program, and everything that it printed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.returncode, done.stdout + done.stderr


def inside(program: str, text: str) -> tuple[int, str]:
    """Run a program with the packages of the tools, on a text."""
    return said(tool("checkov").with_name("python"), "-W", "ignore", "-c", program, text=text)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda it: it.parent.name)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    """Not even a remark."""
    assert said(tool("hadolint"), "--failure-threshold", "style", file) == (0, "")


@pytest.mark.parametrize(("good", "bad", "code"), [LATEST, SHELL, FOLDER])
def test_hadolint_refuses(good: str, bad: str, code: str) -> None:
    """A copy with one fault each."""
    text = (ROOT / "authz_service" / "Dockerfile").read_text("utf-8")
    assert good in text
    exit_code, output = said(tool("hadolint"), "-", text=text.replace(good, bad))
    assert exit_code == 1
    assert code in output


@pytest.mark.timeout(300)
def test_checkov_has_nothing_to_say() -> None:
    """One rule is skipped, in the files, with the reason: the base's tag stands in an argument."""
    summary = reports()["dockerfile"]["summary"]
    assert summary["failed"] == 0, reports()["dockerfile"]
    assert summary["skipped"] == len(DOCKERFILES)
    assert summary["parsing_errors"] == 0


@pytest.mark.parametrize("image", IMAGES)
def test_a_bill_is_what_cyclonedx_says_it_must_be(image: str) -> None:
    """By the schema of its version, strictly."""
    bill = json.dumps(document(image, python=python_of_images()))
    assert inside(BILL, bill) == (0, "")
    assert inside(BILL, bill.replace('"purl"', '"url"'))[0] == 1


def compose() -> dict[str, Any]:
    """The compose file without anchors, and without `pre_stop`: the checker is older."""
    found = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    for service in found["services"].values():
        service.pop("pre_stop", None)
    return {name: value for name, value in found.items() if not name.startswith("x-")}


def test_the_compose_file_is_one() -> None:
    """By the specification: every key, duration, port and condition."""
    assert inside(COMPOSE, json.dumps(compose())) == (0, "")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"read_only"', '"readonly"'),
        ('"service_healthy"', '"healthy"'),
        ('"5s"', '"5 lightyears"'),
        ("127.0.0.1:9090:9090", "127.0.0.1:90900:9090"),
        ('"files": null', '"file": null'),
    ],
)
def test_a_broken_compose_file_is_none(good: str, bad: str) -> None:
    """A key, a condition, a duration, a port or a volume that is wrong."""
    text = json.dumps(compose())
    assert good in text
    assert inside(COMPOSE, text.replace(good, bad, 1))[0] == 1


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    """Where Docker's plugin is, it has the last word; it needs no engine for that."""
    if said(tool("docker"), "compose", "version")[0] != 0:
        pytest.skip("docker compose is not on this machine")
    keys = tmp_path / "env"
    (shown,) = re.findall(
        r"^API_KEYS=.*$", (ROOT / "docs" / "images.md").read_text("utf-8"), re.MULTILINE
    )
    keys.write_text(shown + "\n", "utf-8")
    command = ("compose", "--env-file", keys, "config", "--quiet")
    assert said(tool("docker"), *command) == (0, "")
