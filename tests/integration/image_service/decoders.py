"""Looking at decoder processes from outside (Linux only)."""

from pathlib import Path

from image_service.sandbox import Sandbox


def pid_of(sandbox: Sandbox) -> int:
    """The process that a sandbox has now."""
    assert sandbox._process is not None
    return sandbox._process.pid


def memory_of(pid: int, name: str) -> int:
    """Bytes of memory of a process, as the system calls them: VmRSS, VmPeak, VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


async def ignored(_done: int) -> None:
    """Progress that is of no interest."""
