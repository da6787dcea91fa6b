"""A key is seen by its holder and by nobody else."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.stack import Stack, api_keys, running

LIMITS = "/api/v1/images/limits"
PLANTED = "canary-9c1d7f3e"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose configuration holds planted secrets, spoken to with every one of them."""
    keys = [*json.loads(api_keys()), {"key": f"{PLANTED}-key", "name": "planted", "tier": "pro"}]
    peppers = tmp_path_factory.mktemp("secrets") / "peppers"
    peppers.write_text(f"{PLANTED}-pepper-of-more-than-32-letters\n")
    with running(
        API_KEYS=json.dumps(keys),
        JWT_SECRET=f"{PLANTED}-jwt" * 4,
        AUTHZ_PEPPER_FILE=str(peppers),
        AUTHZ_ADMIN_TOKEN=f"{PLANTED}-admin" * 2,
        AUTHZ_DECISION_LOG_ALLOWS="1",
        DEBUG="true",
    ) as it:
        speak(it.client)
        administer(it.admin)
        yield it


def speak(client: Client) -> None:
    """Use the planted secrets, rightly and wrongly."""
    planted = [
        [("X-API-Key", f"{PLANTED}-key")],
        [("X-API-Key", f"{PLANTED}-unknown")],
        [("X-API-Key", f"{PLANTED}-key"), ("X-API-Key", f"{PLANTED}-key")],
        [("Authorization", f"Bearer {PLANTED}.a.b")],
        [("Authorization", f"Basic {PLANTED}")],
        [("X-API-Key", f"{PLANTED}-key"), ("Cookie", PLANTED), ("X-Custom", PLANTED)],
    ]
    for headers in planted:
        client.get(LIMITS, headers)
    for query in (f"api_key={PLANTED}", f"token={PLANTED}", PLANTED):
        client.get(f"{LIMITS}?{query}", [("X-API-Key", f"{PLANTED}-key")])


def administer(client: Client) -> None:
    """Use the admin token, rightly and wrongly, and put secrets where none belong."""
    token = ("Authorization", f"Bearer {PLANTED}-admin{PLANTED}-admin")
    json_ = ("Content-Type", "application/json")
    body = json.dumps({"name": "n", "tier": f"{PLANTED}-tier", PLANTED: 1}).encode()
    assert client.get("/v1/keys", [token]).status == 200
    assert client.get("/v1/keys", [("Authorization", f"Bearer {PLANTED}-wrong")]).status == 401
    for answer in (
        client.get(f"/v1/keys/{PLANTED}", [token]),
        client.send("POST", "/v1/keys", [token, json_], body),
        client.send("POST", f"/v1/keys/{PLANTED}/disable", [token]),
    ):
        assert answer.status in {404, 422}
        assert PLANTED.encode() not in answer.body


def test_no_line_shows_a_secret(stack: Stack) -> None:
    """Access lines, lines of decisions, the services' own and Envoy's, at their most talkative."""
    assert len(stack.output) > 10
    assert sum("Decision" in line for line in stack.output) > 5
    assert [line for line in stack.output if PLANTED in line] == []


def test_no_metric_shows_a_secret(stack: Stack) -> None:
    """On any port."""
    inner = (stack.operations, stack.image_operations, stack.image_worker_operations)
    for client in (stack.client, stack.scrape, *inner):
        metrics = client.get("/metrics")
        assert metrics.status == 200
        assert PLANTED.encode() not in metrics.body


def test_no_readiness_detail_shows_a_secret(stack: Stack) -> None:
    """Details are for operators, keys are not."""
    for client in (
        stack.operations,
        stack.image_operations,
        stack.image_worker_operations,
    ):
        assert PLANTED.encode() not in client.get("/readyz").body


def test_no_written_file_shows_a_secret(stack: Stack) -> None:
    """Envoy's configuration and whatever else lies in the run folder."""
    files = [file for file in stack.run_dir.rglob("*") if file.is_file()]

    assert len(files) > 3
    assert [file for file in files if PLANTED.encode() in file.read_bytes()] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_process_argument_shows_a_secret(stack: Stack) -> None:
    """Arguments show in process lists, so secrets travel in the environment."""
    assert stack.process.poll() is None
    shown = [
        arguments
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and PLANTED.encode() in (arguments := command_line(folder))
    ]
    assert shown == []


def command_line(folder: Path) -> bytes:
    """The arguments of a process that may just have ended."""
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""
