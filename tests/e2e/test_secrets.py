"""A key is seen by its holder and by nobody else."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from authz_service.clock import SystemClock
from authz_service.testing.tokens import Signer
from tests.e2e.client import Client
from tests.e2e.conftest import encoded
from tests.e2e.stack import Stack, api_keys, running

LIMITS = "/api/v1/images/limits"
PLANTED = "canary-9c1d7f3e"
JWT_SECRET = f"{PLANTED}-jwt" * 4
NOW_S = SystemClock().now_ms() // 1000
CLAIMS = {"sub": "ada", "iat": NOW_S - 10, "exp": NOW_S + 6 * 3600}
TOKEN = Signer("HS256", JWT_SECRET.encode()).token(CLAIMS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose configuration holds planted secrets, spoken to with every one of them."""
    keys = [*json.loads(api_keys()), {"key": f"{PLANTED}-key", "name": "planted", "tier": "pro"}]
    peppers = tmp_path_factory.mktemp("secrets") / "peppers"
    peppers.write_text(f"{PLANTED}-pepper-of-more-than-32-letters\n")
    with running(
        API_KEYS=json.dumps(keys),
        JWT_SECRET=JWT_SECRET,
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
    waiting = [("Prefer", "wait=30")]
    for headers in planted:
        client.get(LIMITS, headers)
    assert client.upload(f"{PLANTED}-key", encoded("PNG"), headers=waiting).status == 200
    assert client.get(LIMITS, [("Authorization", f"Bearer {TOKEN.decode()}")]).status == 200
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


def is_told(content: bytes) -> bool:
    """Whether something of a secret, or of what was signed with one, is in it."""
    return any(secret in content for secret in (PLANTED.encode(), *TOKEN.split(b".")[1:]))


def inner_ports(stack: Stack) -> tuple[Client, ...]:
    """The services' own."""
    return stack.operations, stack.image_operations, stack.image_worker_operations


def test_no_line_shows_a_secret(stack: Stack) -> None:
    """Access lines, lines of decisions, the services' own and Envoy's, at their most talkative."""
    assert len(stack.output) > 10
    assert sum("Decision" in line for line in stack.output) > 5
    assert [line for line in stack.output if is_told(line.encode())] == []


def test_no_metric_shows_a_secret(stack: Stack) -> None:
    """On any port, in either format: exemplars are in one of them."""
    for client in (stack.client, stack.scrape, *inner_ports(stack)):
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
            metrics = client.get("/metrics", [("Accept", accept)])
            assert metrics.status == 200
            assert not is_told(metrics.body)


def test_no_readiness_detail_shows_a_secret(stack: Stack) -> None:
    """Details are for operators, keys are not."""
    for client in (stack.client, *inner_ports(stack)):
        for target in ("/readyz", "/healthz"):
            answer = client.get(target)
            assert answer.status == 200
            assert not is_told(answer.body)


def test_no_store_holds_a_secret(stack: Stack) -> None:
    """Neither where counters and keys are nor where jobs are: names and values are searched."""
    for name in ("valkey.sock", "queue.sock"):
        with Redis(unix_socket_path=str(stack.run_dir / name)) as store:
            held = {key: everything(store, key) for key in store.scan_iter()}
        assert held, name
        assert [key for key, value in held.items() if is_told(key + value)] == []


def everything(store: Redis, key: bytes) -> bytes:
    """What is kept under a name, as text, whatever its type."""
    reading = {
        b"string": ("GET", key),
        b"hash": ("HGETALL", key),
        b"list": ("LRANGE", key, 0, -1),
        b"set": ("SMEMBERS", key),
        b"zset": ("ZRANGE", key, 0, -1),
        b"stream": ("XRANGE", key, "-", "+"),
        b"none": ("EXISTS", key),  # it has expired meanwhile
    }
    ask: Callable[..., Any] = store.execute_command
    return repr(ask(*reading[ask("TYPE", key)])).encode()


def test_no_written_file_shows_a_secret(stack: Stack) -> None:
    """Envoy's configuration, the stores' logs, and whatever else lies in the run folder."""
    files = [file for file in stack.run_dir.rglob("*") if file.is_file()]

    assert {"bootstrap.yaml", "valkey.log"} <= {file.name for file in files}
    assert [file for file in files if is_told(file.read_bytes())] == []


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
