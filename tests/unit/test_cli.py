"""The command line: what it prints where, and its exit codes."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

import image_service
from authz_service import __version__
from authz_service.cli import _environment, _parser, main
from authz_service.policy.schema import PolicyFile
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings
from authz_service.testing.builders import PlantedSecrets

POLICY = str(Path(image_service.__file__).with_name("policy.yaml"))
POLICIES = Path(__file__).parents[1] / "fixtures" / "policies"
BROKEN = str(POLICIES / "invalid" / "combined.yaml")
GLOBAL_LIMITS = str(POLICIES / "valid" / "complete.yaml")
COMPILED = """
tiers, with quotas by the calendar of Europe/Berlin
  anonymous  no rate                        no quota                         files up to 1B
  free       5 per 10s                      1000/week                        files up to 512KiB
  pro        1000/hour (store away: local)  20000/month (store away: allow)  files up to 25MB
  partner    10/day                         no quota                         files up to 1MB

an address may present bad credentials 5 per 10s

routes, of which the first that matches decides
  list     GET, HEAD /, /v1/orders
           in shadow; credential optional; 1 from rate and quota; limits forwarded; store away: deny
  order    PUT, PATCH, DELETE /v1/orders/{order_id}/lines/{line}
           credential required (api_key, jwt); tier free or pro; scope orders:write and https://example.com/orders; 3 from rate and quota; writes 30/minute; burst 2/second (store away: deny); store away: allow
  status   OPTIONS /status
           open to everybody
  partner  POST /v1/partner
           in shadow; credential optional; writes 30/minute; store away: deny
"""  # noqa: E501 - as wide as it is printed
COMMANDS = [
    *("serve", "local", "check-policy", "check-descriptors", "policy-schema", "render"),
    *("healthcheck", "drain", "explain", "usage", "ask-rate-limit", "keys"),
]
SECRETS = {"api_keys", "jwt_secret", "store_url", "keys_url", "admin_token"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own environment plays no part."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    monkeypatch.delenv("CORS_ORIGINS", raising=False)


def test_a_right_policy_is_printed_as_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    """check-policy says what it read, tier by tier and route by route, and exits with 0."""
    assert main(["check-policy", GLOBAL_LIMITS]) == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first == f"{GLOBAL_LIMITS} is right: 4 tiers, 4 routes."
    assert rest == COMPILED


def test_a_wrong_policy_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """check-policy prints every problem to standard error, and exits with 2."""
    assert main(["check-policy", BROKEN]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == len(Path(BROKEN).with_suffix(".txt").read_text().splitlines())
    assert all(line.startswith("error: ") for line in lines)
    assert lines[0] == f"error: {BROKEN}:2: version: 2 must be 1"


def test_a_policy_whose_keys_cannot_be_read_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """check-policy reads the key files of providers too, beside the policy."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        re.sub(r"^include:.*$", "", Path(POLICY).read_text(), flags=re.MULTILINE)
        + "jwt: [{name: login, issuer: a, audiences: [a], algorithms: [RS256], pem_file: gone}]\n"
    )
    assert main(["check-policy", str(policy)]) == 2
    assert capsys.readouterr().err == (
        f"error: jwt provider login: {tmp_path}/gone: cannot be read: No such file or directory\n"
    )


def test_a_missing_policy_is_a_wrong_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is told by its name, and exits with 2."""
    assert main(["check-policy", "/nowhere/policy.yaml"]) == 2
    expected = "error: /nowhere/policy.yaml: cannot be read: No such file or directory\n"
    assert capsys.readouterr().err == expected


def test_a_right_policy_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json tells machines the whole compiled policy, with nothing left out."""
    assert main(["check-policy", "--json", GLOBAL_LIMITS]) == 0
    result = json.loads(capsys.readouterr().out)
    compiled = load_policy(Path(GLOBAL_LIMITS), {})
    assert result["ok"] is True
    whole = json.loads(json.dumps(asdict(compiled)).replace(', "held": 0', ""))
    assert result["policy"] == whole
    order = result["policy"]["routes"][1]
    assert order["charges"]["free"][0] == {
        "limit": {"name": "per-10s", "limit": 5, "window_ms": 10_000, "on_store_failure": None},
        "cost": 3,
        "on_store_failure": "allow",
    }


@pytest.mark.parametrize("arguments", [["check-policy"], ["check-policy", "--json"]])
def test_a_limit_that_is_not_enforced_is_told(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A right policy may still do less than its author expects, and that is said."""
    policy = yaml.safe_load(Path(GLOBAL_LIMITS).read_text())
    del policy["include"], policy["routes"][1]["shadow"]
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(policy))
    assert main([*arguments, str(file)]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)["warnings"] if "--json" in arguments else [captured.err]
    assert [text.removeprefix("warning: ").strip() for text in told] == [
        "route order: its global_limits are not looked at while it is in shadow"
    ]


def test_a_wrong_policy_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """--json tells machines the same problems, on standard output."""
    assert main(["check-policy", BROKEN, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    result = json.loads(captured.out)
    assert result["ok"] is False
    assert result["problems"][0] == f"{BROKEN}:2: version: 2 must be 1"


def test_the_policy_reads_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """check-policy fills variables as the server does."""
    monkeypatch.setenv("CORS_ORIGINS", '["*"]')
    assert main(["check-policy", POLICY]) == 2
    assert "cors.origins[0]: ${CORS_ORIGINS} is no origin" in capsys.readouterr().err


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """policy-schema prints the JSON Schema of policy files."""
    assert main(["policy-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == PolicyFile.model_json_schema()


@pytest.mark.parametrize("command", ["serve", "render"])
def test_wrong_settings_are_told_at_once(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that needs settings names all that are wrong, and exits with 2."""
    monkeypatch.setenv("PORT", "http")
    folder = [] if command == "serve" else ["envoy", "/nowhere"]
    assert main([command, *folder, "--debug", "perhaps"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told] == ["AUTHZ_POLICY_FILE", "PORT", "DEBUG"]


def test_render_writes_what_serve_would_write(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Render names every file it wrote."""
    assert main(["render", "envoy", str(tmp_path / "envoy"), "--policy-file", POLICY]) == 0
    named = {Path(line) for line in capsys.readouterr().out.splitlines()}
    assert named == set((tmp_path / "envoy").iterdir())
    assert named


def test_a_folder_that_cannot_be_written_is_a_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What the configuration is not to blame for exits with 1."""
    (tmp_path / "file").touch()
    assert main(["render", "envoy", str(tmp_path / "file" / "envoy"), "--policy-file", POLICY]) == 1
    assert capsys.readouterr().err.startswith(f"error: cannot write to {tmp_path}/file/envoy: ")


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting given both ways is taken from the command line; the rest stays."""
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("AUTHZ_SCRAPE_PORT", "2")
    environment = _environment(_parser().parse_args(["serve", "--public-port", "3"]))
    assert (environment["PORT"], environment["AUTHZ_SCRAPE_PORT"]) == ("3", "2")


def test_secrets_have_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Every setting is a flag of serve, except those that hold secrets."""
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    told = capsys.readouterr().out
    for name in Settings.model_fields:
        assert (f"--{name.replace('_', '-')} " in told) is (name not in SECRETS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help of every command prints its usage and exits with 0."""
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: authz_service {command} ")


def test_local_names_what_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """Every variable of the settings that reaches the stack, and its own."""
    with pytest.raises(SystemExit, match="0"):
        main(["local", "--help"])
    told = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+|PORT|DEBUG", capsys.readouterr().out))
    settings = {str(field.alias) for field in Settings.model_fields.values()}
    laid_out = {name for name in settings if name.endswith(("_HOST", "_LISTEN", "_SECONDS"))}
    inner = {"AUTHZ_UPSTREAM", "AUTHZ_PUBLIC_METRICS"}
    parts = ("AUTHZ_APP", "AUTHZ_OPERATIONS", "IMAGE_OPERATIONS", "IMAGE_WORKER_OPERATIONS")
    own = {f"{part}_PORT" for part in (*parts, "AUTHZ_ADMIN")}
    services = {"IMAGE_WORKERS", "IMAGE_QUEUE_LIMIT", "CORS_ORIGINS"}
    not_read = {"IMAGE_QUEUE_URL", "IMAGE_FILES_URL"}
    assert told == (settings - laid_out - inner) | own | services | not_read


def test_the_menu_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists the commands and says what the exit codes mean."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert set(told.split()) >= set(COMMANDS)
    assert "Exit codes: 0 done; 1 " in told


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["check-policy"], ["serve", "--store-url", "x"], ["healthcheck"]]
)
def test_a_wrong_call_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that makes no sense prints the usage to standard error."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version of the package."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"


def test_no_wrong_setting_shows_a_secret(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    planted_secrets: PlantedSecrets,
) -> None:
    """Keys and store URLs that are wrong in themselves are told without being repeated."""
    monkeypatch.setenv("API_KEYS", f'[{{"key": "{planted_secrets.api_key}", "tier": "free"}}]')
    monkeypatch.setenv("REDIS_URL", f"redis://:{planted_secrets.password}@store:port")
    assert main(["serve", "--policy-file", POLICY]) == 2
    captured = capsys.readouterr()
    assert planted_secrets.found_in(captured.out + captured.err) == []
    assert captured.err.startswith("error: REDIS_URL: not of the form redis://")
    monkeypatch.delenv("REDIS_URL")
    assert main(["serve", "--policy-file", POLICY]) == 2
    captured = capsys.readouterr()
    assert planted_secrets.found_in(captured.out + captured.err) == []
    assert "API_KEYS[0].name: is required" in captured.err


@pytest.mark.parametrize(
    "url",
    ["http://store", "redis://:canary@", "redis://store/x", "redis://store:port", "memory://x"],
)
def test_a_wrong_store_is_told_with_everything_else(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started, by the name of its variable and without its value."""
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("REDIS_URL", url)
    assert main(["serve", "--policy-file", POLICY]) == 2
    told = capsys.readouterr().err
    assert [line.split(": ")[1] for line in told.splitlines()] == ["PORT", "REDIS_URL"]
    assert url not in told


@pytest.mark.parametrize(
    "url",
    ["http://store", "redis://:canary@", "redis://store/x", "redis://store:port", "memory://"],
)
def test_a_wrong_key_store_is_told_with_everything_else(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like the store of counters, and one in memory is none: nobody else could change its keys."""
    monkeypatch.setenv("REDIS_URL", "nowhere")
    monkeypatch.setenv("AUTHZ_KEYS_URL", url)
    assert main(["serve", "--policy-file", POLICY]) == 2
    told = capsys.readouterr().err
    assert [line.split(": ")[1] for line in told.splitlines()] == ["REDIS_URL", "AUTHZ_KEYS_URL"]
    assert url not in told.splitlines()[1]


@pytest.mark.parametrize("index", ["9", "2", "-1"])
def test_a_worker_that_is_none_of_them_is_a_wrong_call(
    index: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are counted from 0, and there are as many as set."""
    monkeypatch.setenv("AUTHZ_POLICY_FILE", POLICY)
    monkeypatch.setenv("AUTHZ_WORKERS", "2")
    monkeypatch.setenv("REDIS_URL", "redis://store")
    assert main(["worker", index]) == 2
    told = f"error: worker {index}: AUTHZ_WORKERS is 2, and the first is 0\n"
    assert capsys.readouterr().err == told


def test_the_command_of_workers_is_not_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped command is not told of it."""
    with pytest.raises(SystemExit, match="2"):
        main(["fly"])
    told = capsys.readouterr().err
    assert "'serve'" in told
    assert "worker" not in told


@pytest.mark.parametrize("address", ["", "unix:", "store", "unix:/" + "x" * 107])
def test_healthcheck_wants_an_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can ever serve, the call is wrong."""
    with pytest.raises(SystemExit, match="2"):
        main(["healthcheck", address])
    assert f"argument address: {address!r} is " in capsys.readouterr().err
