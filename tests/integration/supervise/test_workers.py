"""Workers as real processes that do nothing but end: who is started again, and who is not."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from authz_service.errors import StackError
from authz_service.supervise import workers as workers_module
from authz_service.supervise.process import Part, start
from authz_service.supervise.workers import Cause, Workers
from authz_service.testing.clock import ManualClock

REFUSED = 2  # how a worker ends that finds its files wrong
ENDS = (sys.executable, "-S", "-c", "")
SLEEPS = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
LINGERS = "import sys, time; time.sleep(0.3); sys.exit({})"


async def yes(*_: object) -> bool:
    """It serves."""
    return True


async def no(*_: object) -> bool:
    """It does not serve yet."""
    return False


def workers(
    count: int,
    code: int,
    *,
    ready: Callable[[], Awaitable[bool]] = yes,
    restarted: Callable[[Cause], None] = lambda _: None,
) -> Workers:
    """Workers that each end with this code a moment after their start."""
    part = Part(
        name="worker",
        command=(sys.executable, "-S", "-c", LINGERS.format(code)),
        ready=ready,
        environment={},
    )
    return Workers(
        lambda _: part,
        count=count,
        clock=ManualClock(),
        answers=yes,
        died=lambda *_: None,
        restarted=restarted,
    )


@asynccontextmanager
async def kept(running: Workers) -> AsyncIterator["asyncio.Task[None]"]:
    """The workers, kept running."""
    task = asyncio.create_task(running.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, StackError):
            await task
        await running.stop()


async def test_five_deaths_are_the_end() -> None:
    """However many workers there are."""
    with pytest.raises(StackError, match=r"5 workers died within 30 s, .* exited with 1"):
        await workers(5, 1).run()


async def test_workers_that_find_their_files_wrong_later_are_waited_for() -> None:
    """Those that are left decide by the last good files; so long nobody gives up."""
    async with kept(workers(5, REFUSED)) as task:
        await asyncio.wait([task], timeout=2)

        assert not task.done()


async def test_workers_that_never_served_are_not_waited_for() -> None:
    """What is wrong from the start stays wrong, and the operator is told."""
    with pytest.raises(StackError, match="exited with 2"):
        await workers(5, REFUSED, ready=no).run()


async def test_a_worker_that_ended_does_not_hang() -> None:
    """Its death is told elsewhere, and once."""
    part = await start(Part(name="worker", command=ENDS, ready=no, environment={}))
    with suppress(StackError):
        await part.fail_when_dead()

    with capture_logs() as told:
        await workers(1, 1)._look_after(part, 0)

    assert told == []


async def test_a_worker_that_never_begins_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told and killed, so that another can be started."""
    monkeypatch.setattr(workers_module, "_START_TIMEOUT_S", 0.1)
    part = await start(Part(name="worker", command=SLEEPS, ready=no, environment={}))

    with capture_logs() as told:
        await workers(1, 1)._look_after(part, 7)

    assert told == [{"event": "worker hangs", "worker": 7, "log_level": "error"}]
    with pytest.raises(StackError, match="killed by SIGKILL"):
        await part.fail_when_dead()


async def test_every_new_start_is_told_and_the_end_is_none() -> None:
    """Of five workers that died, four were started anew; the first start of one is no restart."""
    told: list[Cause] = []
    with pytest.raises(StackError):
        await workers(1, 1, restarted=told.append).run()

    assert told == [Cause.DIED] * 4


async def test_a_new_start_after_a_hang_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never begins and was killed hung; the one after it that ends by itself died."""
    monkeypatch.setattr(workers_module, "_START_TIMEOUT_S", 0.1)
    told: list[Cause] = []
    commands = [SLEEPS, ENDS]
    keeping = Workers(
        lambda _: Part(
            name="worker",
            command=commands.pop(0) if commands else SLEEPS,
            ready=no,
            environment={},
        ),
        count=1,
        clock=ManualClock(),
        answers=yes,
        died=lambda *_: None,
        restarted=told.append,
    )
    async with kept(keeping) as task:
        async with asyncio.timeout(10):
            while len(told) < 2:
                await asyncio.wait([task], timeout=0.02)

    assert told == [Cause.HUNG, Cause.DIED]
