"""Real decoder processes: what they answer, how they die, and that they are replaced."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from image_service.core.bounds import ImageFacts, ImageRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import DecoderError
from image_service.sandbox import Sandbox
from image_service.testing import animation, encoded, picture
from tests.integration.image_service.decoders import ignored, pid_of

_GIB = 1024**3


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A process with the usual limits."""
    made = Sandbox(deadline_s=10, memory_bytes=_GIB)
    yield made
    await made.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A good file."""
    path = tmp_path / "image"
    path.write_bytes(encoded(picture()))
    return path


def _environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_facts_come_back(sandbox: Sandbox, image: Path) -> None:
    """The process says what the file is."""
    assert await sandbox.inspect(image) == ImageFacts(ImageFormat.PNG, 48, 40, 1)


async def test_a_file_is_enlarged(sandbox: Sandbox, tmp_path: Path) -> None:
    """The process writes the result and tells how far it is on the way."""
    (tmp_path / "in").write_bytes(animation(ImageFormat.GIF))
    told: list[int] = []

    async def report(done: int) -> None:
        told.append(done)

    spec = TransformSpec(2, ImageFormat.WEBP, 90)
    await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, report)
    assert told == [3, 16, 20, 33, 36, 50, 100]
    with Image.open(tmp_path / "out") as result:
        assert (result.format, result.size) == ("WEBP", (80, 72))


async def test_a_refusal_does_not_cost_the_process(sandbox: Sandbox, tmp_path: Path) -> None:
    """A bad file is an answer like any other."""
    await sandbox.start()
    before = pid_of(sandbox)
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(ImageRefusedError):
        await sandbox.inspect(tmp_path / "bad")
    assert pid_of(sandbox) == before


async def test_a_dead_process_is_replaced(sandbox: Sandbox, image: Path) -> None:
    """The next file meets a new one, even before the death has become known."""
    await sandbox.start()
    before = pid_of(sandbox)
    sandbox.kill()
    assert (await sandbox.inspect(image)).width == 48
    assert pid_of(sandbox) != before


async def test_a_process_killed_at_work_is_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whoever waited for it learns at once, and it is gone."""
    (tmp_path / "in").write_bytes(encoded(Image.effect_noise((1500, 1500), 60)))
    await sandbox.start()
    pid = pid_of(sandbox)
    spec = TransformSpec(4, ImageFormat.WEBP, 90)

    async def kill(_done: int) -> None:
        sandbox.kill()

    with pytest.raises(DecoderError, match="died"):
        await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, kill)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_stalling_process_is_ended(tmp_path: Path) -> None:
    """The deadline holds even while the process is deep in a decoder."""
    (tmp_path / "in").write_bytes(encoded(Image.effect_noise((2000, 2000), 60)))
    sandbox = Sandbox(deadline_s=0.05, memory_bytes=2 * _GIB)
    await sandbox.start()
    pid = pid_of(sandbox)
    spec = TransformSpec(4, ImageFormat.WEBP, 90)
    with pytest.raises(DecoderError, match="too long"):
        await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, ignored)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_memory_is_bounded(tmp_path: Path) -> None:
    """A picture that needs more than the limit fails; the machine does not notice."""
    (tmp_path / "in").write_bytes(encoded(Image.new("RGB", (8000, 8000))))
    sandbox = Sandbox(deadline_s=20, memory_bytes=200 * 1024**2)
    try:
        with pytest.raises(ImageRefusedError):
            await sandbox.inspect(tmp_path / "in")
        spec = TransformSpec(2, ImageFormat.PNG, 90)
        with pytest.raises(DecoderError, match="MemoryError"):
            await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, ignored)
    finally:
        await sandbox.close()


async def test_a_cancelled_question_leaves_no_answer_behind(
    sandbox: Sandbox, image: Path, tmp_path: Path
) -> None:
    """The next question does not get the previous one's answer."""
    (tmp_path / "large").write_bytes(encoded(Image.effect_noise((2000, 2000), 60)))
    await sandbox.start()
    asking = asyncio.create_task(sandbox.inspect(tmp_path / "large"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await sandbox.inspect(image)).width == 48


async def test_the_process_knows_no_secrets(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the service's environment goes along."""
    monkeypatch.setenv("REDIS_URL", "redis://:CANARY@host")
    await sandbox.start()
    environment = _environment(pid_of(sandbox))
    assert b"CANARY" not in environment
    assert environment.startswith(b"PYTHONPATH=")
