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
            "SUBJECT: 'acme' begins with none of key:, jwt:, anon: and is not global",
        ),
        (["show", "key:a"], "--tier: is required for a caller"),
        (
            ["show", "global", "--tier", "free"],
            "--tier: has no place here, global is no caller",
        ),
        (
            ["reset", "global", "--limit", "per-minute"],
            "--limit: 'per-minute' is no limit of the policy; known are upscale-total",
        ),
        (
            ["show-descriptors", "--domain", "shop", "--descriptor", "a=b"],
            "AUTHZ_RATELIMIT_DIR: is required",
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
        "error: SUBJECT: 'acme' begins with none of key:, jwt:, anon: and is not global",
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
    assert main(["usage", "show", "global"]) == 0
    assert capsys.readouterr().out == "the policy has no limits over all callers\n"
    assert main(["usage", "reset", "global", "--limit", "any"]) == 2
    assert capsys.readouterr().err == "error: the policy has no limits over all callers\n"


def test_limits_of_a_policy_need_a_policy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service of descriptor files alone has none; nor has it files for Envoy."""
    monkeypatch.delenv("AUTHZ_POLICY_FILE")
    monkeypatch.setenv("AUTHZ_RATELIMIT_DIR", str(tmp_path))
    for arguments in (["usage", "reset", "global"], ["render", "envoy", str(tmp_path)]):
        assert main(arguments) == 2
        assert capsys.readouterr().err == "error: AUTHZ_POLICY_FILE: is required\n"


def test_descriptors_without_a_counter_cannot_be_reset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unknown value and a limit that counts nothing: no store is asked."""
    (tmp_path / "shop.yaml").write_text(
        "domain: shop\ndescriptors: [{key: plan, value: staff, rate_limit: {unlimited: true}}]\n"
    )
    monkeypatch.setenv("AUTHZ_RATELIMIT_DIR", str(tmp_path))
    for descriptor in ("plan=free", "plan=staff"):
        asked = ["--domain", "shop", "--descriptor", descriptor]
        assert main(["usage", "show-descriptors", *asked]) == 0
        assert capsys.readouterr().out == f"{descriptor}  no counter\n"
        assert main(["usage", "reset-descriptors", *asked]) == 2
        assert capsys.readouterr().err == "error: --descriptor: none of them has a counter\n"


@pytest.mark.parametrize("verb", ["show-descriptors", "reset-descriptors"])
def test_a_domain_that_no_file_has_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str
) -> None:
    """With those that files have: whoever mistypes one must not read that nothing counts."""
    for name in ("shop", "bank"):
        (tmp_path / name).write_text(f"domain: {name}\n")
    monkeypatch.setenv("AUTHZ_RATELIMIT_DIR", str(tmp_path))
    told = {
        "shp": "--domain: 'shp' is in no file; known are bank, shop",
        "": "rate limit domain must not be empty",
    }
    for domain, error in told.items():
        assert main(["usage", verb, "--domain", domain, "--descriptor", "a=b"]) == 2
        assert capsys.readouterr().err == f"error: {error}\n"


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
