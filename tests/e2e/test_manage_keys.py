"""The guide to managing keys does what it says; a change of a key is felt at Envoy's door."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client, Headers, Reply
from tests.e2e.processes import eventually
from tests.e2e.stack import DEFAULT_POLICY, ROOT, Stack, running

TOKEN = "token-of-the-tests-" + "0123456789abcdef" * 2
LIMITS = "/api/v1/images/limits"
SECTION = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8").partition("\n## Manage keys\n")[2]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = [
    example
    for block in BLOCK.findall(SECTION.partition("\n## ")[0])
    for example in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]
END = "-- end of example --"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with an admin API."""
    with running(AUTHZ_ADMIN_TOKEN=TOKEN) as it:
        yield it


@pytest.mark.slow  # the guide waits a second for each change
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_prints_what_it_says() -> None:
    """In one shell, in the order of the guide; `...` stands for anything."""
    assert len(EXAMPLES) >= 14
    with running(AUTHZ_ADMIN_TOKEN=TOKEN) as stack:
        done = run_examples(stack)
    printed = done.stdout.split(f"{END}\n")
    for (command, expected), text in zip(EXAMPLES, printed, strict=False):
        pattern = ".*".join(re.escape(part) for part in expected.rstrip("\n").split("..."))
        assert re.match(pattern, text, re.DOTALL), f"{command}\nprinted: {text}{done.stderr}"
    assert len(printed) == len(EXAMPLES) + 1


def run_examples(stack: Stack) -> "subprocess.CompletedProcess[str]":
    """What one shell prints, where the ports and the folder are those of a stack."""
    script = "".join(f"{command}\necho '{END}'\n" for command, _ in EXAMPLES)
    for shown, real in {
        "$PWD/run/": f"{stack.run_dir}/",
        " run/": f" {stack.run_dir}/",
        "@run/": f"@{stack.run_dir}/",
        "localhost:8000": f"localhost:{stack.client.port}",
        "localhost:9104": f"localhost:{stack.admin.port}",
    }.items():
        script = script.replace(shown, real)
    return subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AUTHZ_ADMIN_TOKEN": TOKEN,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


class Admin:
    """The admin API of a stack."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, method: str, path: str, data: Any = None) -> Reply:  # noqa: ANN401
        """One request with the token."""
        headers: Headers = [("Authorization", f"Bearer {TOKEN}")]
        if data is None:
            return self._client.send(method, path, headers)
        body = json.dumps(data).encode()
        return self._client.send(
            method, path, [*headers, ("Content-Type", "application/json")], body
        )


def status_of(stack: Stack, key: str) -> int:
    """What Envoy answers to a key."""
    return stack.client.get(LIMITS, [("X-API-Key", key)]).status


def test_a_key_lives_as_the_admin_api_says(stack: Stack) -> None:
    """Made, replaced, switched off and deleted, and each is felt at every worker."""
    admin = Admin(stack.admin)
    made = admin.ask("POST", "/v1/keys", {"name": "n", "tier": "pro", "id": "life-1"})
    assert made.status == 201
    old = made.json()["secret"]
    eventually(lambda: [status_of(stack, old) for _ in range(6)] == [200] * 6)
    rerolled = admin.ask("POST", "/v1/keys/life-1/reroll", {"overlap": "1h"}).json()
    new = rerolled["secret"]
    eventually(lambda: [status_of(stack, new) for _ in range(6)] == [200] * 6)
    assert status_of(stack, old) == 200
    assert rerolled["key"]["subject"] == "life-1"
    assert admin.ask("POST", "/v1/keys/life-1/disable").status == 200
    eventually(lambda: [status_of(stack, old) for _ in range(6)] == [401] * 6)
    assert status_of(stack, new) == 200
    assert admin.ask("DELETE", f"/v1/keys/{rerolled['key']['id']}").status == 204
    eventually(lambda: [status_of(stack, new) for _ in range(6)] == [401] * 6)
    lines = [json.loads(line) for line in stack.output if '"API key changed"' in line]
    own = [line for line in lines if line["subject"] == "life-1"]
    assert [line["action"] for line in own] == [
        *("created", "rerolled", "rerolled", "disabled", "deleted")
    ]
    assert {line["actor"] for line in own} == {"admin-api"}


def test_the_old_and_the_new_key_count_as_one(stack: Stack) -> None:
    """Replacing a key gains nobody a request: what one takes, the other lacks."""
    admin = Admin(stack.admin)
    given = {"name": "n", "tier": "pro", "id": "one-1"}
    old = admin.ask("POST", "/v1/keys", given).json()["secret"]
    new = admin.ask("POST", "/v1/keys/one-1/reroll", {"overlap": "1h"}).json()["secret"]
    eventually(lambda: [status_of(stack, new) for _ in range(6)] == [200] * 6)
    left = [
        int(stack.client.get(LIMITS, [("X-API-Key", key)]).header("x-ratelimit-remaining"))
        for key in (old, new, old, new)
    ]
    assert left == list(range(left[0], left[0] - 4, -1))


def test_tiers_are_those_of_the_policy(stack: Stack) -> None:
    """A tier that nobody has is refused, and the known ones are named."""
    answer = Admin(stack.admin).ask("POST", "/v1/keys", {"name": "n", "tier": "gold"})
    assert answer.status == 422
    (error,) = answer.json()["error"]["details"]["errors"]
    assert error["field"] == "tier"
    assert "free, pro, enterprise" in error["message"]


def test_the_public_door_does_not_lead_there(stack: Stack) -> None:
    """Whatever path is asked for, with the token or without."""
    for path in ("/v1/keys", "/admin/v1/keys", "/v1/keys/../keys", "/v1/keys/import"):
        for headers in ([], [("Authorization", f"Bearer {TOKEN}")]):
            assert stack.client.get(path, headers).status == 404


def test_a_taken_port_stops_the_start() -> None:
    """Named, with the variable that chooses another; without a token nobody asks for it."""
    with running(AUTHZ_ADMIN_TOKEN=TOKEN) as first:
        done = subprocess.run(
            [sys.executable, "-m", "authz_service", "local"],
            cwd=ROOT,
            env={
                **os.environ,
                **dict.fromkeys(("PORT", "AUTHZ_APP_PORT", *first.ports), "0"),
                "AUTHZ_ADMIN_PORT": str(first.admin.port),
                "AUTHZ_ADMIN_TOKEN": TOKEN,
                "AUTHZ_POLICY_FILE": str(DEFAULT_POLICY),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
    assert done.returncode == 1
    assert f"port {first.admin.port} for the admin API is taken" in done.stderr
    assert "AUTHZ_ADMIN_PORT=PORT" in done.stderr
