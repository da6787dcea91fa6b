"""`authz_service usage`: what makes no sense is told before any server is asked."""

import pwd
from pathlib import Path
from typing import NoReturn

import pytest

import image_service
from authz_service.cli import main
from authz_service.commands.command_line import actor
from authz_service.settings import Settings
from authz_service.testing.builders import PlantedSecrets

POLICY = str(Path(image_service.__file__).with_name("policy.yaml"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default policy, and a store that nobody may ask."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.setenv("AUTHZ_POLICY_FILE", POLICY)
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["show", "key:a", "--tier", "gold"],
            "--tier: 'gold' is no tier; known are anonymous, free, pro, enterprise",
        ),
        (
            ["show", "acme", "--tier", "free"],
            "SUBJECT: 'acme' begins with none of key:, jwt:, anon:",
        ),
        (
            ["reset", "key:a", "--limit", "per-year"],
            "--limit: 'per-year' is no limit of the policy; known are per-minute, per-day, jobs",
        ),
    ],
)
def test_a_wrong_call_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong and what there is; exit code 2."""
    assert main(["usage", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {told}\n")


@pytest.mark.parametrize("url", [None, "memory://"])
def test_counters_in_memory_cannot_be_seen(
    url: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are another process's; with everything else that is wrong."""
    monkeypatch.delenv("REDIS_URL")
    if url is not None:
        monkeypatch.setenv("REDIS_URL", url)
    assert main(["usage", "reset", "acme"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: SUBJECT: 'acme' begins with none of key:, jwt:, anon:",
        "error: REDIS_URL: is required; counters in a worker's memory are its own",
    ]


def test_a_policy_without_limits_leaves_nothing_to_reset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is counted, so nothing is asked of the store."""
    file = tmp_path / "policy.yaml"
    file.write_text(
        "version: 1\n"
        "tiers: {free: {max_upload: 1MB}}\n"
        'upstream: {address: "127.0.0.1:8080"}\n'
        "routes: [{name: all, match: {method: GET, path: /}}]\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AUTHZ_POLICY_FILE", str(file))
    assert main(["usage", "reset", "key:a"]) == 2
    assert capsys.readouterr().err == "error: the policy has no limits\n"
    assert main(["usage", "show", "key:a", "--tier", "free"]) == 0
    assert capsys.readouterr().out == "tier free has no limits\n"


def test_a_wrong_store_is_told_without_its_password(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    planted_secrets: PlantedSecrets,
) -> None:
    """By the name of its variable; exit code 2."""
    monkeypatch.setenv("REDIS_URL", f"redis://:{planted_secrets.password}@store:port")
    assert main(["usage", "show", "key:a", "--tier", "free"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: REDIS_URL: ")
    assert planted_secrets.found_in(told) == []


def test_audit_lines_name_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what the environment claims; a user without a name by number."""
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert actor() == f"cli:{pwd.getpwuid(0).pw_name}"

    def no_name(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", no_name)
    assert actor() == "cli:0"
