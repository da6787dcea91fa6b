"""`authz_service keys`: what it prints where, what it needs, and its exit codes."""

import io
import json
import os
import pwd
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from authz_service import key_service
from authz_service.cli import main
from authz_service.clock import SystemClock
from authz_service.identity.key_fields import ImportedKey
from authz_service.identity.key_store import StoredKey
from tests.unit.identity.key_admins import DAY_MS, HeldKeyStore, digest_of, stored

URL = "redis://:canary-password@store"
POLICIES = Path(__file__).parents[1] / "fixtures" / "policies"
POLICY = str(POLICIES / "valid" / "complete.yaml")
SECRET = re.compile(r"sk_[a-z]+_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")
COMMANDS = ["create", "list", "show", "disable", "enable", "reroll", "delete", "import"]
CREATE = ["create", "--name", "The web shop", "--tier", "free"]
ACTOR = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HeldKeyStore:
    """The store that every command finds at the URL of the environment."""
    it = HeldKeyStore()

    def open_store(url: str) -> HeldKeyStore:
        assert url == URL
        it.closed = False
        return it

    monkeypatch.setattr(key_service, "open_key_store", open_store)
    monkeypatch.setenv("AUTHZ_KEYS_URL", URL)
    monkeypatch.delenv("AUTHZ_POLICY_FILE", raising=False)
    return it


class Run:
    """One command that has run."""

    def __init__(self, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> None:
        capsys.readouterr()
        self.code = main(["keys", *arguments])
        captured = capsys.readouterr()
        self.out = captured.out
        lines = captured.err.splitlines()
        self.audit = [json.loads(line) for line in lines if line.startswith("{")]
        self.err = [line for line in lines if not line.startswith("{")]


def put(store: HeldKeyStore, *records: StoredKey) -> None:
    """Have these records in the store."""
    store.put(*records)


def test_the_secret_alone_is_on_standard_output(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """So a shell can keep it; what there is to say about it goes to standard error."""
    run = Run(capsys, CREATE)
    ((key_id, record),) = store.records.items()
    assert run.code == 0
    assert SECRET.fullmatch(run.out.rstrip("\n"))
    assert run.err == [
        "AUTHZ_POLICY_FILE is not set: nobody has checked that the policy has the tier.",
        f"{key_id} is the id of this key; it does not expire.",
        "The key is shown this once and never again.",
    ]
    assert re.fullmatch(r"key_[0-9a-hjkmnp-tv-z]{10}", key_id)
    assert (record.name, record.tier, record.subject) == ("The web shop", "free", key_id)
    assert store.closed


def test_every_flag_of_create_has_its_effect(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each one ends up in the record, and the word of the environment in the key."""
    flags = (
        "--id shop-1 --subject shop --scope read --scope write --expires 2040-01-01T00:00:00Z"
        " --rate 5/minute --quota 10/day --network 192.0.2.0/24 --network 2001:db8::/32"
        " --environment test"
    )
    run = Run(capsys, [*CREATE, *flags.split()])
    assert run.code == 0
    assert run.out.startswith("sk_test_")
    record = store.records["shop-1"]
    assert (record.subject, record.scopes) == ("shop", ("read", "write"))
    assert (record.rate, record.quota) == ("5/minute", "10/day")
    assert record.networks == ("192.0.2.0/24", "2001:db8::/32")
    assert record.expires_at_ms == 2_208_988_800_000
    assert run.err[1] == "shop-1 is the id of this key; it ends at 2040-01-01T00:00:00Z."


def test_the_tier_is_one_of_the_policys(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where AUTHZ_POLICY_FILE names a policy."""
    monkeypatch.setenv("AUTHZ_POLICY_FILE", POLICY)
    assert Run(capsys, CREATE).err[0].startswith("key_")
    run = Run(capsys, ["create", "--name", "n", "--tier", "gold"])
    assert (run.code, run.out) == (2, "")
    assert run.err == [
        "error: --tier: is no tier of the policy; known are anonymous, free, pro, partner"
    ]
    assert len(store.records) == 1


def test_wrong_fields_are_told_by_their_flags(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """All at once, on standard error, and nothing is made."""
    wrong = "--scope a,b --expires soon --rate 5 --network here --environment LIVE --id ()"
    run = Run(capsys, [*CREATE, *wrong.split()])
    assert (run.code, run.out) == (2, "")
    assert [line.split(": ")[1] for line in run.err[1:]] == [
        "--id",
        "--scope",
        "--expires",
        "--rate",
        "--network",
        "--environment",
    ]
    assert store.records == {}


def test_a_result_as_json_holds_the_secret_too(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record without its digest, beside the secret; the sentences are left out."""
    run = Run(capsys, [*CREATE, "--id", "shop-1", "--json"])
    result = json.loads(run.out)
    assert result.keys() == {"key", "secret"}
    assert SECRET.fullmatch(result["secret"])
    created_at = result["key"].pop("created_at")
    assert created_at.endswith("Z")
    assert result["key"] == {
        "id": "shop-1",
        "name": "The web shop",
        "subject": "shop-1",
        "tier": "free",
        "state": "active",
        "scopes": [],
        "expires_at": None,
        "rate": None,
        "quota": None,
        "networks": [],
    }
    assert len(run.err) == 1
    assert store.records.keys() == {"shop-1"}


def test_keys_are_listed_in_columns(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line each, aligned, without colour where nobody looks, and never a digest."""
    now_ms = SystemClock().now_ms()
    put(
        store,
        stored("key_b", name="Billing", subject="billing", disabled=True, expires_at_ms=1),
        stored("a", name="The web shop, Ω", expires_at_ms=now_ms + 3 * DAY_MS + 60_000),
        stored("c", subject="zebra", expires_at_ms=now_ms),
        stored("d", subject="zoo", tier="enterprise"),
    )
    store.used["d"] = now_ms - 150_000
    run = Run(capsys, ["list"])
    assert run.code == 0
    assert run.out.splitlines() == [
        "ID     NAME             SUBJECT  TIER        STATE          LAST USED",
        "a      The web shop, Ω  acme     free        expires in 3d  -",
        "key_b  Billing          billing  free        disabled       -",
        "c      A key            zebra    free        expired        -",
        "d      A key            zoo      enterprise  active         2m ago",
    ]


def test_colours_are_for_terminals(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the state of a key has one, and the text under the colours is the same."""
    put(store, stored("a"), stored("b", disabled=True))
    grey = Run(capsys, ["list"]).out

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["keys", "list"]) == 0
    painted = terminal.getvalue()
    assert "\x1b[31mdisabled" in painted
    assert "\x1b[32mactive" in painted
    bare = re.sub(r"\x1b\[\d+m", "", painted)
    assert [line.rstrip() for line in bare.splitlines()] == grey.splitlines()


def test_one_key_is_shown_field_by_field(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """All there is but its digest."""
    put(store, stored("key_a", scopes=("read", "write"), created_at_ms=1_900_000_000_123))
    run = Run(capsys, ["show", "key_a"])
    assert run.code == 0
    assert run.out.splitlines() == [
        "id            key_a",
        "name          A key",
        "subject       acme",
        "tier          free",
        "state         active",
        "scopes        read write",
        "created_at    2030-03-17T17:46:40.123Z",
        "expires_at    -",
        "rate          -",
        "quota         -",
        "networks      -",
        "last_used_at  -",
    ]
    result = json.loads(Run(capsys, ["show", "key_a", "--json"]).out)
    assert result["key"]["last_used_at"] is None
    assert result["key"]["scopes"] == ["read", "write"]


def test_no_answer_has_a_digest(store: HeldKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """In no form of any command."""
    put(store, stored("key_a"), stored("key_b"))
    digests = [digest_of(key_id.encode()).removeprefix("sha256:") for key_id in ("key_a", "key_b")]
    commands = ["list", "show key_a", "disable key_a", "enable key_a", "reroll key_a --overlap 1h"]
    for command in [*commands, "delete key_b --yes"]:
        for form in ([], ["--json"]) if "delete" not in command else ([],):
            run = Run(capsys, [*command.split(), *form])
            assert run.code == 0
            told = run.out + str(run.err) + str(run.audit)
            assert not [digest for digest in digests if digest in told]


def test_switching_a_key_off_and_on(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence each, and one audit line each."""
    put(store, stored("key_a"))
    off = Run(capsys, ["disable", "key_a"])
    assert (off.code, off.out, off.err) == (0, "key_a is disabled.\n", [])
    assert store.records["key_a"].disabled
    on = Run(capsys, ["enable", "key_a"])
    assert (on.code, on.out) == (0, "key_a is enabled.\n")
    assert not store.records["key_a"].disabled


def test_a_change_is_one_audit_line(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who did what to which key, on standard error; a look leaves none."""
    put(store, stored("key_a"))
    (line,) = Run(capsys, ["disable", "key_a"]).audit
    del line["timestamp"]
    assert line == {
        "severity": "INFO",
        "message": "API key changed",
        "action": "disabled",
        "key_id": "key_a",
        "subject": "acme",
        "actor": ACTOR,
        "changed": ["disabled"],
        "outcome": "done",
    }
    assert Run(capsys, ["disable", "key_a"]).audit == []
    assert Run(capsys, ["list"]).audit == []


def test_a_reroll_prints_the_new_secret_alone(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says until when the old key goes on."""
    put(store, stored("key_a", expires_at_ms=2_208_988_800_000))
    run = Run(capsys, ["reroll", "key_a", "--overlap", "1h"])
    assert run.code == 0
    assert run.out.startswith("sk_live_")
    assert SECRET.fullmatch(run.out.rstrip("\n"))
    assert run.err[0].startswith("key_a is replaced; it ends at 20")
    assert run.err[1].endswith(" is the id of this key; it ends at 2040-01-01T00:00:00Z.")
    assert {record.subject for record in store.records.values()} == {"acme"}
    assert [line["action"] for line in run.audit] == ["rerolled", "rerolled"]


def test_a_rerolled_key_may_have_no_end(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where that is said outright."""
    put(store, stored("key_a", expires_at_ms=2_208_988_800_000))
    run = Run(capsys, ["reroll", "key_a", "--overlap", "0s", "--expires", "never", "--json"])
    result = json.loads(run.out)
    assert result["key"]["expires_at"] is None
    assert (result["replaced"]["id"], result["replaced"]["state"]) == ("key_a", "expired")
    assert SECRET.fullmatch(result["secret"])


def test_deleting_must_be_meant(store: HeldKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asked, so --yes says it."""
    put(store, stored("key_a"))
    run = Run(capsys, ["delete", "key_a"])
    assert run.code == 2
    assert run.err == [
        "error: --yes: is required: nothing brings a deleted key back, and disable can be undone"
    ]
    assert store.records
    run = Run(capsys, ["delete", "key_a", "--yes"])
    assert (run.code, run.out) == (0, "key_a is deleted.\n")
    assert store.records == {}


ENTRIES = f"""\
- name: Billing
  tier: free
  id: billing-1
  key_sha256: {"a" * 64}
- name: The web shop
  tier: free
  key_sha256: {"b" * 64}
"""


def test_a_key_file_is_imported(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As YAML or JSON; a second time nothing changes."""
    file = tmp_path / "keys.yaml"
    file.write_text(ENTRIES)
    run = Run(capsys, ["import", str(file)])
    assert (run.code, run.out) == (0, "2 imported, 0 unchanged.\n")
    assert store.records.keys() == {"billing-1", "bbbbbbbbbbbb"}
    file.write_text(json.dumps([{"name": "n", "tier": "t", "id": "j", "key_sha256": "3" * 64}]))
    assert json.loads(Run(capsys, ["import", str(file), "--json"]).out)["imported"] == ["j"]
    file.write_text(ENTRIES)
    again = Run(capsys, ["import", str(file)])
    assert (again.out, again.audit) == ("0 imported, 2 unchanged.\n", [])


def test_a_key_file_may_come_through_a_pipe(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dash is standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ENTRIES.encode())))
    assert Run(capsys, ["import", "-"]).out == "2 imported, 0 unchanged.\n"
    assert len(store.records) == 2


def test_a_wrong_key_file_is_told_line_by_line(
    store: HeldKeyStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without repeating what it says, as a key may stand in it; and nothing is imported."""
    file = tmp_path / "keys.yaml"
    file.write_text(f"{ENTRIES}- key: sk_canary\n  tier: 7\n")
    run = Run(capsys, ["import", str(file)])
    assert (run.code, run.out) == (2, "")
    fields = ", ".join(ImportedKey.model_fields)
    assert run.err == [
        "AUTHZ_POLICY_FILE is not set: nobody has checked that the policy has the tier.",
        f"error: {file}:8: [2].name: is required",
        f"error: {file}:9: [2].tier: must be a string",
        f"error: {file}:8: [2]: has an unknown field; known are {fields}",
    ]
    assert store.records == {}
    file.write_text("- [")
    assert Run(capsys, ["import", str(file)]).err == [f"error: {file}:1: is not valid YAML"]
    file.unlink()
    expected = f"error: {file}: cannot be read: No such file or directory"
    assert Run(capsys, ["import", str(file)]).err == [expected]


@pytest.mark.parametrize(
    "command", ["show", "disable", "enable", "delete --yes", "reroll --overlap 1h"]
)
def test_an_unknown_key_is_a_failure(
    command: str, store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call was right, so it exits with 1; the id is not repeated, as it may be a key."""
    name, *flags = command.split()
    run = Run(capsys, [name, "sk_canary", *flags])
    assert (run.code, run.out, run.err) == (1, "", ["error: there is no key with this id"])
    assert store.closed


def test_a_taken_id_is_a_failure(store: HeldKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The key that has it stays as it is."""
    put(store, stored("shop-1"))
    run = Run(capsys, [*CREATE, "--id", "shop-1"])
    assert (run.code, run.out, run.err[-1]) == (1, "", "error: the id is taken")


@pytest.mark.parametrize("command", [["list"], CREATE, ["disable", "key_a"]])
def test_a_store_that_fails_is_a_failure(
    command: list[str], store: HeldKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, without the URL and its password."""
    store.fails = True
    run = Run(capsys, command)
    assert (run.code, run.out) == (1, "")
    assert run.err[-1] == "error: this key store fails on purpose"
    assert "canary" not in str(run.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_store_there_are_no_keys(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says which variable to set."""
    monkeypatch.setenv("AUTHZ_KEYS_URL", "")
    needed = {
        "create": CREATE[1:],
        "list": [],
        "reroll": ["k", "--overlap", "1h"],
        "import": ["keys.yaml"],
    }
    run = Run(capsys, [command, *needed.get(command, ["k"])])
    assert run.code == 2
    assert run.err == [
        "error: AUTHZ_KEYS_URL: is required: where the keys are kept, as redis://HOST:PORT"
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help prints its usage and a call that can be copied."""
    with pytest.raises(SystemExit, match="0"):
        main(["keys", command, "--help"])
    told = capsys.readouterr().out
    assert told.startswith(f"usage: authz_service keys {command} ")
    assert f"authz_service keys {command}" in told.partition("Example:\n")[2]


def test_the_menu_of_keys_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands, its variables, its exit codes."""
    with pytest.raises(SystemExit, match="0"):
        main(["keys", "--help"])
    told = capsys.readouterr().out
    assert set(told.split()) >= {*COMMANDS, "AUTHZ_KEYS_URL", "AUTHZ_PEPPER_FILE"}
    assert "Exit codes: 0 done; 1 " in told


@pytest.mark.parametrize("arguments", [[], ["fly"], ["create"], ["show"], ["reroll", "key_a"]])
def test_a_wrong_call_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that makes no sense prints the usage to standard error."""
    with pytest.raises(SystemExit, match="2"):
        main(["keys", *arguments])
    assert capsys.readouterr().err.startswith("usage: ")
