"""Our end of a decoder process: start it, talk to it, replace it when it dies or stalls.

What the other end does stands in `decoder.py`.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from image_service.core.bounds import ImageFacts, ImageRefusedError, ResultRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import DecoderError

_START_S: Final = 20.0

Report = Callable[[int], Awaitable[None]]
"""Told the percentage done."""


class Sandbox:
    """One decoder process, doing one thing at a time. A lost one is started anew when needed."""

    def __init__(self, *, deadline_s: float, memory_bytes: int) -> None:
        self._deadline_s = deadline_s
        self._memory_bytes = memory_bytes
        self._process: asyncio.subprocess.Process | None = None
        # Killed on purpose: its death may not be known yet, but nothing more is asked of it.
        self._doomed = False
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Have a process ready.

        Raises:
            DecoderError: it does not start.
        """
        async with self._turn:
            await self._running()

    async def inspect(self, source: Path) -> ImageFacts:
        """What the file is; see `core.inspect`.

        Raises:
            ImageRefusedError: not an image that we take.
            DecoderError: the process died, ran out of memory or took too long.
        """
        answer = await self._ask({"source": str(source)}, _no_report)
        facts = answer["facts"]
        return ImageFacts(
            format=ImageFormat(facts["format"]),
            width=facts["width"],
            height=facts["height"],
            frames=facts["frames"],
        )

    async def transform(
        self, source: Path, target: Path, spec: TransformSpec, report: Report
    ) -> None:
        """Enlarge a file into another; see `core.transform`.

        Raises:
            ImageRefusedError: the file does not decode.
            ResultRefusedError: the result does not fit into the format.
            DecoderError: the process died, ran out of memory or took too long.
        """
        request = {"source": str(source), "target": str(target), "spec": asdict(spec)}
        await self._ask(request, report)

    def kill(self) -> None:
        """End the process now, whatever it is doing."""
        self._doomed = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        # Reading to the end lets the pipes close with the process.
        await process.communicate()

    async def _ask(self, request: Mapping[str, object], report: Report) -> Mapping[str, Any]:
        async with self._turn:
            process = await self._running()
            try:
                async with asyncio.timeout(self._deadline_s):
                    answer = await _converse(process, request, report)
            except BaseException as error:
                # Only a finished conversation leaves the process usable, cancelled ones included.
                await self.close()
                if isinstance(error, TimeoutError):
                    raise DecoderError("the decoder took too long") from error
                raise
        return _outcome(answer)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None and not self._doomed:
            return self._process
        await self.close()
        self._doomed = False
        self._process = process = await self._spawn()
        try:
            async with asyncio.timeout(_START_S):
                await _line(process)
        except TimeoutError as error:
            await self.close()
            raise DecoderError("the decoder does not start") from error
        return process

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "image_service.decoder",
            str(self._memory_bytes),
            str(round(self._deadline_s) + 1),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Nothing of our environment: secrets have no business where foreign bytes are.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


async def _no_report(_done: int) -> None:
    """Inspection is over before anybody asks how far it is."""


async def _converse(
    process: asyncio.subprocess.Process, request: Mapping[str, object], report: Report
) -> Mapping[str, Any]:
    _write(process, request)
    while "progress" in (answer := await _line(process)):
        await report(answer["progress"])
    return answer


def _write(process: asyncio.subprocess.Process, request: Mapping[str, object]) -> None:
    if process.stdin is None:
        raise DecoderError("the decoder has no input")
    # A request is far smaller than a pipe's buffer; a dead reader shows on the other pipe.
    with contextlib.suppress(ConnectionError):
        process.stdin.write(json.dumps(request).encode() + b"\n")


async def _line(process: asyncio.subprocess.Process) -> Mapping[str, Any]:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line.endswith(b"\n"):
        raise DecoderError("the decoder died")
    answer: Mapping[str, Any] = json.loads(line)
    return answer


def _outcome(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "refused" in answer:
        raise ImageRefusedError(answer["refused"])
    if "unfit" in answer:
        raise ResultRefusedError(answer["unfit"])
    if "failed" in answer:
        raise DecoderError(f"the decoder failed: {answer['failed']}")
    return answer
