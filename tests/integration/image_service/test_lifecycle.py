"""The real command: how it starts, how it stops, what it leaves behind."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE_S = 20


@contextmanager
def _started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service as its own process, and the address of its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "image_service", "serve", "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, _ready_address(process)
    finally:
        process.kill()
        process.communicate()


def _ready_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
    assert readable
    line = json.loads(process.stdout.readline())
    assert (line["severity"], line["message"]) == ("INFO", "Ready")
    return str(line["address"])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.perf_counter() + _PATIENCE_S
    while any(_lives(pid) for pid in pids):
        assert time.perf_counter() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    """Exit code 0, the last word in the log, nobody left behind, nothing on standard error."""
    with _started("--workers", "2") as (process, address):
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            assert json.load(answer) == {"status": "ready"}
        children = _children(process.pid)
        assert len(children) == 3
        process.send_signal(number)
        output, errors = process.communicate(timeout=_PATIENCE_S)
        assert (process.returncode, errors) == (0, "")
        messages = [json.loads(line)["message"] for line in output.splitlines()]
        assert messages == ["Draining", "Stopped"]
        assert not any(_lives(child) for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_decoders_die_with_a_killed_service() -> None:
    """Not even SIGKILL leaves orphans."""
    with _started("--workers", "2") as (process, _):
        children = _children(process.pid)
        assert len(children) == 3
        process.kill()
        process.wait(_PATIENCE_S)
        _wait_until_gone(children)


def test_a_ctrl_c_for_the_whole_group_still_drains() -> None:
    """Decoders leave the terminal's signal to the service."""
    with _started("--workers", "1") as (process, _):
        for child in _children(process.pid):
            os.kill(child, signal.SIGINT)
            os.kill(child, signal.SIGTERM)
        assert all(_lives(child) for child in _children(process.pid))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == 0


def test_a_taken_port_is_one_clear_line() -> None:
    """Exit code 1, the address in the sentence, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-m", "image_service", "serve", "--listen", listen],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"image_service: cannot listen on {listen}: ")


def test_every_module_is_imported_without_an_environment() -> None:
    """Importing does nothing: no settings, no sockets, no files."""
    modules = [
        str(path.relative_to(Path("image_service").parent).with_suffix("")).replace("/", ".")
        for path in sorted(Path("image_service").rglob("*.py"))
        if path.name not in {"__main__.py", "__init__.py"}
    ]
    assert "image_service.storage.memory" in modules
    code = "; ".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], env={}, check=True, timeout=_PATIENCE_S)
