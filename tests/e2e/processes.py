"""The processes of a running stack, found by what they were started with (Linux only)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

_DEADLINE_S: Final = 20.0

T = TypeVar("T")


def children(pid: int) -> dict[int, str]:
    """What a process has started from its main thread, and the command lines."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())
    return {child: _command(child) for child in found}


def sidecar(stack_pid: int) -> int:
    """The supervisor inside a local stack."""
    (pid,) = [
        pid for pid, command in children(stack_pid).items() if "authz_service serve" in command
    ]
    return pid


def workers(supervisor_pid: int) -> dict[int, int]:
    """The process of each worker, by its number."""
    running = children(supervisor_pid).items()
    return {
        int(command.split()[-1]): pid
        for pid, command in running
        if "authz_service worker" in command
    }


def eventually(attempt: Callable[[], T | None], *, within_s: float = _DEADLINE_S) -> T:
    """The first result of `attempt` that is not None or false."""
    ends = time.perf_counter() + within_s
    while time.perf_counter() < ends:
        result = attempt()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"nothing within {within_s} s")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:  # it has ended meanwhile
        return ""
