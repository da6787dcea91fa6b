"""One child process of the stack: started so that it cannot outlive us, stopped politely."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from authz_service.errors import StackError
from authz_service.supervise import lifeline

_PROBE_INTERVAL_S = 0.02
_LOG_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What to run, and how to tell that it is ready. `ready` never raises and never hangs.

    `log` is the file in which the program says why it ends, where it does not print that.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str]
    stdout: int | None = None
    log: Path | None = None
    stop_timeout_s: float = 5.0
    before_stop: Callable[[], Awaitable[None]] | None = None


class RunningPart:
    """A started part."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process) -> None:
        self.name = part.name
        self.pid = process.pid
        self._part = part
        self._process = process

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """What the part prints, where it was asked for."""
        return self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """How the process ended, negative for a signal; None while it runs."""
        return self._process.returncode

    async def fail_when_dead(self) -> None:
        """Wait for the end of the process.

        Raises:
            StackError: always, and saying how it ended; below it the end of the part's log.
        """
        code = await self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        raise StackError("\n  ".join([f"{self.name} {how}", *_last_lines(self._part.log)]))

    async def until_ready(self, timeout_s: float) -> None:
        """Wait until the part answers.

        Raises:
            StackError: it died first, or took too long.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._part.ready():
                    if self._process.returncode is not None:
                        await self.fail_when_dead()
                    await asyncio.sleep(_PROBE_INTERVAL_S)
        except TimeoutError:
            raise StackError(f"{self.name} is not ready after {timeout_s:.0f} s") from None

    def kill(self) -> None:
        """End the process without asking."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Ask the process to end, and insist after its time to stop."""
        if self._part.before_stop is not None and self._process.returncode is None:
            await self._part.before_stop()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
            try:
                async with asyncio.timeout(self._part.stop_timeout_s):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


async def start(part: Part) -> RunningPart:
    """Start a part in a session of its own, so that Ctrl-C reaches us alone.

    Must run in the main thread: the kernel ties a child to the thread that started it.

    Raises:
        StackError: the program is missing or cannot be run.
    """
    if shutil.which(part.command[0]) is None:
        raise StackError(f"{part.name} cannot be started: no program {part.command[0]}")
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid())),
            *part.command,
            env=dict(part.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=part.stdout,
            start_new_session=True,
        )
    except OSError as error:
        raise StackError(f"{part.name} cannot be started: {error}") from error
    return RunningPart(part, process)


def _last_lines(log: Path | None) -> list[str]:
    """The end of a log; nothing of one that cannot be read."""
    if log is None:
        return []
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return []
