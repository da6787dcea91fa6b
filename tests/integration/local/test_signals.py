"""Being asked to stop, as a process of its own."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
from authz_service.signals import stop_event

async def main():
    stop = stop_event()
    print("up", flush=True)
    await stop.wait()
    print("asked", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
UNDER_NOHUP = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{SCRIPT}"
# Whoever started the tests may have been told to ignore it, and children inherit that.
ON_A_TERMINAL = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n{SCRIPT}"


def begun(script: str) -> "subprocess.Popen[str]":
    """A process that waits to be asked."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert printed(process) == "up\n"
    return process


def printed(process: "subprocess.Popen[str]") -> str:
    """The next line a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    """A closed terminal asks like anybody else."""
    with begun(ON_A_TERMINAL) as process:
        process.send_signal(number)
        assert printed(process) == "asked\n"
        process.send_signal(number)
        assert process.wait(10) == -number


def test_a_closed_terminal_is_nothing_to_who_was_told_to_ignore_it() -> None:
    """Under nohup(1) only the other signals ask."""
    with begun(UNDER_NOHUP) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert printed(process) == "asked\n"
        process.send_signal(signal.SIGHUP)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
