"""Parts of the stack as real processes: how they start, die and stop."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.errors import StackError
from authz_service.supervise.process import Part, RunningPart, start

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"


async def yes() -> bool:
    """Ready at once."""
    return True


async def no() -> bool:
    """Never ready."""
    return False


def python(
    script: str,
    *,
    ready: Callable[[], Awaitable[bool]] = yes,
    environment: dict[str, str] | None = None,
    stop_timeout_s: float = 5.0,
) -> Part:
    """A part that runs a script."""
    return Part(
        name="Part",
        command=(sys.executable, "-S", "-c", script),
        ready=ready,
        environment=environment or {},
        stdout=PIPE,
        stop_timeout_s=stop_timeout_s,
    )


async def printed(part: RunningPart) -> bytes:
    """The next line a part prints."""
    assert part.stdout is not None
    async with asyncio.timeout(20):
        return await part.stdout.readline()


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise SystemExit(3)", "Part exited with 3"),
        ("", "Part exited with 0"),
        ("import os; os.kill(os.getpid(), 9)", "Part was killed by SIGKILL"),
    ],
)
async def test_a_part_that_dies_is_told_with_how(script: str, told: str) -> None:
    """However a part ends, its end is an error that says how."""
    part = await start(python(script))
    with pytest.raises(StackError, match=told):
        await part.fail_when_dead()
    await part.stop()


async def test_a_part_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Five lines of the file in which the program says why; its bytes may be any."""
    log = tmp_path / "part.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(8)) + b"\xff\n")
    part = await start(replace(python("raise SystemExit(1)"), log=log))
    with pytest.raises(StackError) as caught:
        await part.fail_when_dead()
    lines = ("Part exited with 1", "line 4", "line 5", "line 6", "line 7", "\ufffd")
    assert str(caught.value) == "\n  ".join(lines)


async def test_a_part_that_dies_before_it_has_a_log_is_told_without(tmp_path: Path) -> None:
    """A log that is not there hides nothing."""
    part = await start(replace(python("raise SystemExit(1)"), log=tmp_path / "none.log"))
    with pytest.raises(StackError, match=r"\APart exited with 1\Z"):
        await part.fail_when_dead()


async def test_a_part_that_dies_before_it_is_ready_is_told_at_once() -> None:
    """Waiting for a dead part ends with its death, long before the time is over."""
    part = await start(python("raise SystemExit(3)", ready=no))
    with pytest.raises(StackError, match="Part exited with 3"):
        await part.until_ready(20.0)


async def test_a_part_that_never_gets_ready_is_told() -> None:
    """A part that lives and never answers is given up after its time."""
    part = await start(python(SLEEP, ready=no))
    try:
        with pytest.raises(StackError, match="Part is not ready after 0 s"):
            await part.until_ready(0.1)
        assert is_alive(part.pid)
    finally:
        await part.stop()


async def test_a_part_is_ready_when_it_answers() -> None:
    """The question is asked again until the answer is yes."""
    answers = iter([False, False, True])

    async def third_time() -> bool:
        return next(answers)

    part = await start(python(SLEEP, ready=third_time))
    try:
        await part.until_ready(10.0)
        assert list(answers) == []
    finally:
        await part.stop()


async def test_a_missing_program_is_told_by_name(tmp_path: Path) -> None:
    """A program that is not there names the part and the file."""
    missing = tmp_path / "missing"
    part = Part(name="Valkey", command=(str(missing),), ready=yes, environment={})
    with pytest.raises(StackError, match=f"Valkey cannot be started: .*{missing}"):
        await start(part)


async def test_a_program_that_may_not_be_run_is_told(tmp_path: Path) -> None:
    """A file that is no program is told like one that is missing."""
    file = tmp_path / "program"
    file.write_text("no program")
    part = Part(name="Envoy", command=(str(file),), ready=yes, environment={})
    with pytest.raises(StackError, match="Envoy cannot be started: "):
        await start(part)


async def test_a_part_sees_its_own_environment_only() -> None:
    """Nothing of our environment reaches a part unless it is handed over."""
    script = "import os; print(sorted(os.environ))"
    part = await start(python(script, environment={"PORT": "1", "LC_ALL": "C.UTF-8"}))
    assert await printed(part) == b"['LC_ALL', 'PORT']\n"
    await part.stop()


async def test_stopping_asks_politely() -> None:
    """A part gets SIGTERM and the time to finish what it does."""
    polite = (
        "import os, signal, sys, time\n"
        # Not print: the signal may come while the line below is still being printed.
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    part = await start(python(polite))
    assert await printed(part) == b"up\n"
    await part.stop()
    assert await printed(part) == b"bye\n"
    assert not is_alive(part.pid)


async def test_stopping_insists_in_the_end() -> None:
    """A part that ignores SIGTERM is killed after its time to stop."""
    part = await start(python(f"{DEAF}; time.sleep(60)", stop_timeout_s=0.2))
    assert await printed(part) == b"1\n"
    await part.stop()
    assert not is_alive(part.pid)
    with pytest.raises(StackError, match="Part was killed by SIGKILL"):
        await part.fail_when_dead()


async def test_stopping_twice_is_harmless() -> None:
    """A part that is gone can be stopped again."""
    part = await start(python(SLEEP))
    await part.stop()
    await part.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl(2) is Linux's")
async def test_a_part_does_not_outlive_its_parent() -> None:
    """If we are killed outright, the kernel ends the parts."""
    parent = (
        "import asyncio, sys\n"
        "from authz_service.supervise.process import Part, start\n"
        "async def main():\n"
        "    part = await start(Part(name='Child', command=(sys.executable, '-S', '-c',\n"
        f"        {SLEEP!r}), ready=None, environment={{}}))\n"
        "    print(part.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=PIPE, start_new_session=True
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        child = int(await process.stdout.readline())
        assert is_alive(child)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        while is_running(child):  # noqa: ASYNC110 - somebody else's child cannot be awaited
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie: nobody may be there to reap it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
