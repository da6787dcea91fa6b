"""What a decoder process may use, and what is left of many that were killed: nothing."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from image_service.core.bounds import ImageRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import DecoderError
from image_service.sandbox import Sandbox
from image_service.testing import encoded, picture
from tests.corpus.good import colours
from tests.integration.image_service.decoders import ignored, memory_of, pid_of

_MEGABYTE = 1024**2
_KILLED = 200


@pytest.fixture
async def small() -> AsyncIterator[Sandbox]:
    """A process with hardly more memory than it needs to start."""
    made = Sandbox(deadline_s=20, memory_bytes=300 * _MEGABYTE)
    yield made
    await made.close()


def _limit(pid: int, name: str) -> list[str]:
    limits = Path(f"/proc/{pid}/limits").read_text("ascii")
    line = next(line for line in limits.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()[:2]


def _own_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> dict[int, str]:
    """Our child processes and the state each is in; Z is one that nobody has asked about."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = entry.read_text("ascii", "replace")
        except OSError:
            continue
        state, parent = stat.rpartition(")")[2].split()[:2]
        if int(parent) == os.getpid():
            found[int(entry.parent.name)] = state
    return found


async def test_the_kernel_holds_the_limits(small: Sandbox) -> None:
    """Memory, file size and core dumps are bounded, and the process cannot raise them."""
    await small.start()
    memory = str(300 * _MEGABYTE)
    assert _limit(pid_of(small), "Max address space") == [memory, memory]
    assert _limit(pid_of(small), "Max core file size") == ["0", "0"]
    size = str(2 * 1024**3)
    assert _limit(pid_of(small), "Max file size") == [size, size]


@pytest.mark.parametrize("form", list(ImageFormat))
async def test_a_picture_beyond_the_memory_fails_alone(
    small: Sandbox, tmp_path: Path, form: ImageFormat
) -> None:
    """The decoder stays below its limit, we stay as we were, and it serves the next file."""
    (tmp_path / "in").write_bytes(encoded(Image.new("RGB", (6000, 6000)), form))
    (tmp_path / "good").write_bytes(encoded(picture()))
    await small.start()
    pid, before = pid_of(small), memory_of(os.getpid(), "VmRSS")
    spec = TransformSpec(2, form, 90)
    with pytest.raises((DecoderError, ImageRefusedError)):
        await small.transform(tmp_path / "in", tmp_path / "out", spec, ignored)
    assert memory_of(os.getpid(), "VmRSS") - before < 20 * _MEGABYTE
    assert (await small.inspect(tmp_path / "good")).width == 48
    if pid_of(small) == pid:
        assert memory_of(pid, "VmPeak") <= 300 * _MEGABYTE


async def test_many_files_do_not_make_a_decoder_grow(tmp_path: Path) -> None:
    """Its memory after three hundred files is that after thirty."""
    sandbox = Sandbox(deadline_s=20, memory_bytes=1024 * _MEGABYTE)
    for form in ImageFormat:
        (tmp_path / form).write_bytes(encoded(colours((100, 100)), form))
    (tmp_path / "bad").write_bytes((tmp_path / "png").read_bytes()[:-100])

    async def go_through(times: int) -> int:
        for number in range(times):
            form = list(ImageFormat)[number % len(ImageFormat)]
            spec = TransformSpec(2, form, 90)
            await sandbox.transform(tmp_path / form, tmp_path / "out", spec, ignored)
            with pytest.raises(ImageRefusedError):
                await sandbox.inspect(tmp_path / "bad")
        return memory_of(pid_of(sandbox), "VmRSS")

    try:
        early = await go_through(30)
        assert await go_through(300) - early < 10 * _MEGABYTE
    finally:
        await sandbox.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_killed_leave_nothing_behind(tmp_path: Path) -> None:
    """After two hundred deaths, at any moment of their work: no zombie, no open file."""
    (tmp_path / "in").write_bytes(encoded(colours((600, 600))))
    spec = TransformSpec(2, ImageFormat.PNG, 90)
    children, descriptors = _children(), _own_descriptors()
    sandboxes = [Sandbox(deadline_s=20, memory_bytes=1024 * _MEGABYTE) for _ in range(4)]

    async def die(sandbox: Sandbox, number: int, times: int) -> None:
        for turn in range(times):
            await sandbox.start()
            target = tmp_path / f"out-{number}"
            asking = asyncio.create_task(
                sandbox.transform(tmp_path / "in", target, spec, _Killing(sandbox, turn))
            )
            if turn % 4 == 0:
                sandbox.kill()
            elif turn % 4 == 1:
                await asyncio.sleep(0)
                asking.cancel()
            await asyncio.wait([asking])

    await asyncio.gather(
        *(die(sandbox, number, _KILLED // 4) for number, sandbox in enumerate(sandboxes))
    )
    for sandbox in sandboxes:
        await sandbox.close()
    assert _children().keys() <= children.keys()
    assert "Z" not in _children().values()
    assert _own_descriptors() <= descriptors + 1  # the event loop's watch over children


class _Killing:
    """A report that kills its sandbox: at once, or at the next word."""

    def __init__(self, sandbox: Sandbox, turn: int) -> None:
        self._sandbox = sandbox
        self._from = 10 if turn % 4 == 2 else 50

    async def __call__(self, done: int) -> None:
        if done >= self._from:
            self._sandbox.kill()
