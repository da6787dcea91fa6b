"""Hostile files through a real decoder process: a right answer or a refusal, and life goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from image_service.core.bounds import (
    MAX_OUTPUT_PIXELS,
    ImageFacts,
    ImageRefusedError,
    ResultRefusedError,
)
from image_service.core.formats import ImageFormat
from image_service.core.spec import FieldsRefusedError, TransformSpec, Wishes, resolve
from image_service.sandbox import Sandbox
from image_service.testing import animation, encoded
from tests.corpus.good import SIZE, colours
from tests.corpus.hostile import ODD, REFUSED
from tests.integration.image_service.decoders import ignored, memory_of, pid_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MEMORY_BYTES = 2 * 1024**3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """One process for all of them, with the limits of the service's inspection."""
    made = Sandbox(deadline_s=10, memory_bytes=_MEMORY_BYTES)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A good file, to ask for afterwards."""
    path = tmp_path / "good"
    path.write_bytes(encoded(colours()))
    return path


async def _facts(sandbox: Sandbox, path: Path) -> ImageFacts | None:
    try:
        return await sandbox.inspect(path)
    except ImageRefusedError:
        return None


@pytest.mark.parametrize("kind", sorted(REFUSED))
async def test_what_is_no_image_is_refused(
    sandbox: Sandbox, tmp_path: Path, good: Path, kind: str
) -> None:
    """By both looks at it, and without costing the process."""
    await sandbox.start()
    pid = pid_of(sandbox)
    (tmp_path / "in").write_bytes(REFUSED[kind]())
    with pytest.raises(ImageRefusedError):
        await sandbox.inspect(tmp_path / "in")
    assert (await sandbox.inspect(good)).width == SIZE[0]
    assert pid_of(sandbox) == pid
    assert memory_of(pid, "VmPeak") <= _MEMORY_BYTES


@pytest.mark.parametrize("kind", sorted(ODD))
async def test_what_is_odd_gets_an_answer(
    sandbox: Sandbox, tmp_path: Path, good: Path, kind: str
) -> None:
    """What inspection accepts becomes a result, or a refusal that the client understands."""
    await sandbox.start()
    pid = pid_of(sandbox)
    (tmp_path / "in").write_bytes(ODD[kind]())
    if (facts := await _facts(sandbox, tmp_path / "in")) is not None:
        for target in ImageFormat:
            await _transform_if_allowed(sandbox, tmp_path, facts, target)
    assert (await sandbox.inspect(good)).width == SIZE[0]
    assert pid_of(sandbox) == pid
    assert memory_of(pid, "VmPeak") <= _MEMORY_BYTES


async def _transform_if_allowed(
    sandbox: Sandbox, folder: Path, facts: ImageFacts, target: ImageFormat
) -> None:
    wishes = Wishes(format=target, keep_metadata=target.holds_exif)
    try:
        spec = resolve(wishes, facts)
        await sandbox.transform(folder / "in", folder / "out", spec, ignored)
    except (FieldsRefusedError, ResultRefusedError):
        return
    with Image.open(folder / "out") as image:
        image.load()
        assert image.size == (facts.width * spec.scale, facts.height * spec.scale)
        frames = getattr(image, "n_frames", 1)
        assert image.width * image.height * frames <= MAX_OUTPUT_PIXELS


@pytest.mark.parametrize(
    "content",
    [
        *(encoded(colours((96, 96)), form) for form in ImageFormat),
        encoded(colours((96, 96)), ImageFormat.JPEG, progressive=True),
        *(animation(form) for form in ImageFormat if form.animates),
    ],
    ids=[*ImageFormat, "progressive", *(f"{f}-animated" for f in ImageFormat if f.animates)],
)
async def test_a_file_cut_anywhere_is_refused(
    sandbox: Sandbox, tmp_path: Path, good: Path, content: bytes
) -> None:
    """Cut at every tenth byte, and asked for twice: before there is a job, and as one."""
    await sandbox.start()
    pid = pid_of(sandbox)
    for kept in range(0, len(content), 10):
        (tmp_path / "in").write_bytes(content[:kept])
        with pytest.raises(ImageRefusedError):
            await sandbox.inspect(tmp_path / "in")
        try:
            spec = TransformSpec(2, ImageFormat.PNG, 90)
            await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, ignored)
        except ImageRefusedError:
            continue
    assert (await sandbox.inspect(good)).width == SIZE[0]
    assert pid_of(sandbox) == pid
