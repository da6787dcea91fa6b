"""The real command: how it starts, how it stops, what it leaves behind."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from image_service.testing import encoded, identity

_PATIENCE_S = 20


@contextmanager
def _started(
    command: str, stores: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """One process of the service, and the address of its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "image_service", command, "--operations-listen", "127.0.0.1:0"],
        env={**os.environ, "IMAGE_LISTEN": "127.0.0.1:0", "IMAGE_WORKERS": "2", **stores},
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
    return str(line.get("address", line["operations"]))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _wait_until_gone(pids: list[int], *, within_s: float) -> None:
    deadline = time.perf_counter() + within_s
    while any(_lives(pid) for pid in pids):
        assert time.perf_counter() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _ignores(pid: int, *signals: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    return all(ignored >> (number - 1) & 1 for number in signals)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("command", "decoders"), [("serve", 1), ("work", 2)])
def test_a_signal_stops_it_cleanly(
    stores: Mapping[str, str], command: str, decoders: int, number: signal.Signals
) -> None:
    """Exit code 0, the last word in the log, nobody left behind, nothing on standard error."""
    with _started(command, stores) as (process, address):
        assert _json(address, "GET", "/readyz")["status"] == "ready"
        children = _children(process.pid)
        assert len(children) == decoders
        process.send_signal(number)
        output, errors = process.communicate(timeout=_PATIENCE_S)
        assert (process.returncode, errors) == (0, "")
        messages = [json.loads(line)["message"] for line in output.splitlines()]
        assert messages == ["Draining", "Stopped"]
        assert not any(_lives(child) for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_decoders_die_with_a_killed_worker(stores: Mapping[str, str]) -> None:
    """Not even SIGKILL leaves orphans, not even one that would encode for seconds yet."""
    with _started("serve", stores) as (_, address), _started("work", stores) as (process, _):
        children = _children(process.pid)
        assert len(children) == 2
        _encode_for_seconds(address)
        process.kill()
        process.wait(_PATIENCE_S)
        _wait_until_gone(children, within_s=2)


def _encode_for_seconds(address: str) -> None:
    """Upload a picture that is slow to encode, and return when that has begun."""
    noise = encoded(Image.merge("RGBA", [Image.effect_noise((900, 900), 60)] * 4))
    parts = {"scale": b"4", "format": b"webp", "file": noise}
    head = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = b"".join(head % (name.encode(), value) for name, value in parts.items()) + b"--x--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    job_id = _json(address, "POST", "/api/v1/images/upscale", body, form)["job_id"]
    while int(str(_json(address, "GET", f"/api/v1/jobs/{job_id}")["progress"])) < 90:
        time.sleep(0.01)


def test_foreign_words_stay_out_of_the_output(stores: Mapping[str, str]) -> None:
    """What a client writes into a broken form is neither warned of nor logged."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b"--x\r\nContent-Disposition: form-data CANARY\xce\r\n\r\na\r\n--x--\r\n"
    with _started("serve", stores) as (process, address):
        assert "error" in _json(address, "POST", "/api/v1/images/upscale", body, form)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=_PATIENCE_S)
    assert "CANARY" not in output + errors


def _json(
    address: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Mapping[str, object]:
    connection = http.client.HTTPConnection(address, timeout=_PATIENCE_S)
    try:
        connection.request(method, path, body, {**identity(), **(headers or {})})
        document: Mapping[str, object] = json.load(connection.getresponse())
        return document
    finally:
        connection.close()


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_ctrl_c_for_the_whole_group_still_drains(stores: Mapping[str, str], command: str) -> None:
    """Decoders leave the terminal's signal to the service."""
    with _started(command, stores) as (process, _):
        children = _children(process.pid)
        assert children
        assert all(_ignores(child, signal.SIGINT, signal.SIGTERM) for child in children)
        for child in children:
            os.kill(child, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == 0


def test_a_taken_port_is_one_clear_line(stores: Mapping[str, str]) -> None:
    """Exit code 1, the address in the sentence, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-m", "image_service", "serve", "--listen", listen],
            env={**os.environ, **stores},
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
    assert "image_service.storage.objects" in modules
    code = "; ".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], env={}, check=True, timeout=_PATIENCE_S)
