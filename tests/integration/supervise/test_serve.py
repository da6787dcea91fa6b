"""The service as its own process: asked to stop, told twice, kept from its place."""

import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.processes import children, eventually
from tests.integration.supervise.conftest import WORKERS, Start

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="finds the processes in /proc"
)


def test_asked_to_stop_it_says_so_at_once_and_answers_on(start: Start) -> None:
    """SIGTERM: health and readiness turn, checks pass until the drain is over, exit code 0."""
    service = start("2")
    service.wait_until_ready()
    pids = children(service.process.pid)

    service.process.send_signal(signal.SIGTERM)
    asked = time.perf_counter()
    eventually(lambda: all(service.health(index) == "NOT_SERVING" for index in range(WORKERS)))
    assert time.perf_counter() - asked < 1.0
    assert service.operations.get("/readyz").status == 503
    assert all(service.check(index) for index in range(WORKERS))

    code, output = service.wait()
    assert code == 0
    assert 2.0 <= time.perf_counter() - asked < 6.0
    assert '"message": "stopped"' in output[-1]
    assert not any(is_there(pid) for pid in pids)
    assert "Traceback" not in "\n".join(output)


def test_told_twice_it_ends_at_once(start: Start) -> None:
    """A second signal does not wait for the drain, and leaves no worker behind."""
    service = start("30")
    service.wait_until_ready()
    pids = children(service.process.pid)
    service.process.send_signal(signal.SIGTERM)
    eventually(lambda: service.health(0) == "NOT_SERVING")

    service.process.send_signal(signal.SIGTERM)

    assert service.process.wait(5) == -signal.SIGTERM
    eventually(lambda: not any(is_there(pid) for pid in pids))


@pytest.mark.slow  # several starts of a worker that cannot
def test_a_place_that_is_taken_is_left_alone_and_told(start: Start, run_dir: Path) -> None:
    """Somebody serves on a worker's socket: it is named, exit code 1, and he serves on."""
    place = run_dir / "authz-1.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(place))
        taken.listen()
        code, output = start("0").wait()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(place))

    assert code == 1
    assert f"error: cannot listen on unix:{place}: another process serves there" in output
    assert output[-1] == "error: 5 workers died within 30 s, the last one: worker 1 exited with 1"


def is_there(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
