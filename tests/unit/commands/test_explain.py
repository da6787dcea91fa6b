"""`authz_service explain`: its input forms, what it prints, its exit codes."""

import io
import json
import sys
from pathlib import Path

import pytest

from authz_service.cli import main
from authz_service.core.verdict import Reason
from authz_service.explain.reasons import SENTENCES
from authz_service.settings import Settings
from authz_service.testing.builders import PlantedSecrets

POLICY = """
version: 1
tiers:
  anonymous: {max_upload: 1MB}
  free: {rate: 2/minute, quota: 500/month, max_upload: 5MB}
upstream: {address: "127.0.0.1:8080"}
routes:
  - {name: things, match: {method: GET, path: /v1/things}, cost: 2}
  - {name: limits, match: {method: GET, path: /v1/limits}, authentication: optional}
"""
KEY = PlantedSecrets().api_key
SENT = ["-H", f"X-API-Key: {KEY}"]
CHECK = {
    "attributes": {
        "source": {"address": {"socketAddress": {"address": "192.0.2.1"}}},
        "contextExtensions": {"route": "things"},
        "request": {
            "http": {
                "method": "GET",
                "path": "/v1/things",
                "headers": {"x-api-key": KEY, "x-envoy-external-address": "203.0.113.7"},
            }
        },
    }
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A policy with one key, and no store."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    monkeypatch.setenv("AUTHZ_POLICY_FILE", str(file))
    monkeypatch.setenv(
        "API_KEYS", json.dumps([{"key": KEY, "name": "Good", "tier": "free", "id": "good"}])
    )


def typed(text: str) -> io.TextIOWrapper:
    """Standard input that holds a text."""
    return io.TextIOWrapper(io.BytesIO(text.encode()))


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    """The exit code and what is printed for machines."""
    code = main(["explain", "--json", *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    told: dict[str, object] = json.loads(captured.out)
    return code, told


def test_a_request_that_passes_is_told_to_people(
    capsys: pytest.CaptureFixture[str], planted_secrets: PlantedSecrets
) -> None:
    """Every part has its line, the key only its id; exit code 0."""
    assert main(["explain", "--path", "/v1//things?a=b", *SENT]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[:10] == [
        "passes",
        "",
        "why          The route lets this caller in, and no limit stands in the way.",
        "request      GET /v1//things from 127.0.0.1",
        "             the path becomes /v1/things",
        "route        things",
        "credential   API key good (key:good, tier free)",
        "rule         ok",
        "limits       per-minute  2/minute   takes 2  2 left, 0 after      resets in 60 s",
        lines[9],
    ]
    assert lines[9].startswith("             per-month   500/month  takes 2  500 left, 498 after")
    assert "application  x-authz-subject: key:good" in lines
    assert "removed      x-api-key, authorization, x-authz-limits" in lines
    assert "client       x-ratelimit-limit: 2" in lines
    assert planted_secrets.found_in(captured.out) == []


def test_a_request_that_is_refused_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Status and code first, then why, in the end the answer as it is sent; exit code 3."""
    message = '"message":"Send an API key in the X-API-Key header."'
    assert main(["explain", "--path", "/v1/things", "--client-address", "2001:db8::1"]) == 3
    assert capsys.readouterr().out.splitlines() == [
        "refused: 401 UNAUTHENTICATED",
        "",
        f"why          {SENTENCES[Reason.MISSING_CREDENTIAL]}",
        "request      GET /v1/things from 2001:db8::1",
        "route        things",
        "credential   none",
        "rule         missing_credential",
        "answer       content-type: application/json",
        '             www-authenticate: ApiKey header="X-API-Key"',
        f'             {{"error":{{"code":"UNAUTHENTICATED",{message},"request_id":"explain"}}}}',
    ]


def test_what_envoy_answers_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no rule of ours; exit code 3."""
    assert main(["explain", "--path", "/nowhere"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "refused: 404 NOT_FOUND"
    assert "rule         Envoy alone, the service is not asked" in lines


def test_the_whole_explanation_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    """--json tells machines the same."""
    code, told = explain(capsys, "--path", "/v1/things", *SENT)
    assert code == 0
    limits = told.pop("limits")
    answer = told.pop("answer")
    assert told == {
        "passes": True,
        "why": "The route lets this caller in, and no limit stands in the way.",
        "decided_by": "authz_service",
        "reason": "ok",
        "request": {
            "method": "GET",
            "path": "/v1/things",
            "client_address": "127.0.0.1",
            "changes": [],
        },
        "route": "things",
        "shadow": False,
        "credential": {
            "kind": "API key",
            "key_id": "good",
            "subject": "key:good",
            "tier": "free",
        },
    }
    assert isinstance(limits, list)
    assert limits[0] == {
        "name": "per-minute",
        "limit": 2,
        "cost": 2,
        "before": 2,
        "after": 0,
        "reset_seconds": 60,
        "retry_after_seconds": 0,
    }
    assert isinstance(answer, dict)
    assert answer["to_application"]["x-authz-tier"] == "free"
    assert answer["to_client"]["x-ratelimit-remaining"] == "0"


def test_a_refusal_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Status, code, headers and the body; where Envoy answers alone there is no reason of ours."""
    code, told = explain(capsys, "--method", "POST", "--path", "/v1/things")
    assert code == 3
    assert (told["passes"], told["decided_by"], told["reason"]) == (False, "envoy", None)
    assert told["answer"] == {
        "status": 405,
        "code": "METHOD_NOT_ALLOWED",
        "headers": {"content-type": "application/json", "allow": "GET"},
        "body": {
            "error": {
                "code": "METHOD_NOT_ALLOWED",
                "message": "This method is not allowed here.",
                "request_id": "explain",
            }
        },
    }


@pytest.mark.parametrize(
    "form", ["flags", "curl", "curl from standard input", "check", "check file"]
)
def test_every_form_of_a_request_is_explained_alike(
    form: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The same request has the same answer, however it is told."""
    curl = f"curl -s -H 'X-API-Key: {KEY}' http://localhost/v1/things"
    file = tmp_path / "check.json"
    file.write_text(json.dumps(CHECK), encoding="utf-8")
    arguments = {
        "flags": ["--path", "/v1/things", *SENT, "--client-address", "203.0.113.7"],
        "curl": ["--curl", curl, "--client-address", "203.0.113.7"],
        "curl from standard input": ["--curl", "-", "--client-address", "203.0.113.7"],
        "check": ["--check-request", "-"],
        "check file": ["--check-request", str(file)],
    }[form]
    monkeypatch.setattr(sys, "stdin", typed(json.dumps(CHECK) if form == "check" else curl))
    code, told = explain(capsys, *arguments)
    assert code == 0
    assert told["request"] == {
        "method": "GET",
        "path": "/v1/things",
        "client_address": "203.0.113.7",
        "changes": [],
    }
    assert (told["route"], told["reason"]) == ("things", "ok")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--path / --client-address x", "client address: 'x' is no IP address"),
        (f"--path / -H {KEY}", "header: is not of the form 'Name: value'"),
        ("--curl wget", "curl command: does not begin with curl"),
        ("--curl curl --method PUT", "--method: has no place here"),
        ("--curl curl -H a:b", "--header: has no place here"),
        ("--check-request - --client-address ::1", "--client-address: has no place here"),
        ("--check-request /nowhere", "/nowhere: cannot be read: No such file or directory"),
        ("--check-request a\0b", "a\0b: is no UTF-8 text"),
        ("--check-request -", "-: is no CheckRequest in protobuf's JSON form"),
    ],
)
def test_a_wrong_call_is_told(
    arguments: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one sentence that repeats no secret; exit code 2."""
    monkeypatch.setattr(sys, "stdin", typed(f"no JSON but {KEY}"))
    assert main(["explain", *arguments.split(" ")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {told}\n"


def test_standard_input_that_is_no_text_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, as for a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert main(["explain", "--curl", "-"]) == 2
    assert capsys.readouterr().err == "error: -: is no UTF-8 text\n"


@pytest.mark.parametrize("arguments", [[], ["--path", "/", "--curl", "curl x"]])
def test_exactly_one_form_is_given(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """None and two are a wrong call."""
    with pytest.raises(SystemExit, match="2"):
        main(["explain", *arguments])
    assert capsys.readouterr().err.startswith("usage: authz_service explain ")


def test_a_wrong_configuration_is_told_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policy and keys as the service would tell them; exit code 2."""
    monkeypatch.setenv("API_KEYS", f'[{{"key": "{KEY}", "name": "x", "tier": "gold"}}, {{}}]')
    assert main(["explain", "--path", "/v1/things"]) == 2
    told = capsys.readouterr().err
    assert "error: API_KEYS[1].name: is required" in told
    assert KEY not in told
