"""Good files of every kind through a real decoder process: the same picture, only larger.

What is expected is reckoned from the picture that the file was made of, never from the file.
"""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageSequence, ImageStat

from image_service.core.bounds import ImageFacts
from image_service.core.formats import ImageFormat
from image_service.core.spec import FieldsRefusedError, TransformSpec, Wishes, resolve
from image_service.sandbox import Sandbox
from image_service.testing import encoded
from tests.corpus.animated import animations
from tests.corpus.good import SIZE, colours, samples
from tests.integration.image_service.decoders import ignored

pytestmark = pytest.mark.asyncio(loop_scope="module")

_STRAY = {ImageFormat.PNG: 1.0, ImageFormat.WEBP: 4.0, ImageFormat.JPEG: 4.0, ImageFormat.GIF: 8.0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """One process for all of them."""
    made = Sandbox(deadline_s=30, memory_bytes=2 * 1024**3)
    yield made
    await made.close()


async def _made(sandbox: Sandbox, folder: Path, content: bytes, wishes: Wishes) -> Image.Image:
    (folder / "in").write_bytes(content)
    spec = resolve(wishes, await sandbox.inspect(folder / "in"))
    await sandbox.transform(folder / "in", folder / "out", spec, ignored)
    return Image.open(folder / "out")


def _enlarged(image: Image.Image, scale: int) -> Image.Image:
    """By hand: colours weighed with their alpha, so that unseen ones count for nothing."""
    size = (image.width * scale, image.height * scale)
    shown = image.convert("RGBA").convert("RGBa").resize(size, Image.Resampling.LANCZOS)
    return shown.convert("RGBA")


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        upper = image.tobytes()[1::2]  # little-endian
        return Image.frombytes("L", image.size, upper).convert("RGBA")
    return image.convert("RGBA")


def _stray(one: Image.Image, other: Image.Image) -> float:
    """The mean difference, 0 to 255, of the worst channel, on white and on black."""
    worst = 0.0
    for ground in (0, 255):
        shown = [
            Image.alpha_composite(Image.new("RGBA", image.size, (ground,) * 3 + (255,)), image)
            for image in (one, other)
        ]
        worst = max(worst, *ImageStat.Stat(ImageChops.difference(*shown)).mean)
    return worst


@pytest.mark.parametrize("target", list(ImageFormat))
@pytest.mark.parametrize(("form", "kind"), sorted(samples()))
async def test_every_kind_keeps_its_picture(
    sandbox: Sandbox, tmp_path: Path, form: ImageFormat, kind: str, target: ImageFormat
) -> None:
    """From every colour model of every format to every format."""
    sample = samples()[form, kind]
    wishes = Wishes(format=target, quality=95 if target.takes_quality else None)
    with await _made(sandbox, tmp_path, sample.content, wishes) as image:
        assert image.format == target.value.upper()
        assert image.size == (SIZE[0] * 2, SIZE[1] * 2)
        result = _eight_bit(image)
    expected = _enlarged(sample.shows, 2)
    if target is ImageFormat.JPEG:
        white = Image.new("RGBA", expected.size, (255, 255, 255, 255))
        expected = Image.alpha_composite(white, expected)
    if target is ImageFormat.GIF:
        expected.putalpha(expected.getchannel("A").point(lambda a: 255 if a > 127 else 0))
    assert _stray(result, expected) < sample.stray + _STRAY[target]


@pytest.mark.parametrize(("form", "kind"), sorted(samples()))
async def test_the_colour_model_is_kept_where_it_can_be(
    sandbox: Sandbox, tmp_path: Path, form: ImageFormat, kind: str
) -> None:
    """Grey stays grey, sixteen bits stay sixteen, and nothing gets an alpha it had not."""
    sample = samples()[form, kind]
    with await _made(sandbox, tmp_path, sample.content, Wishes(format=ImageFormat.PNG)) as image:
        assert image.mode == sample.mode


async def test_ink_stays_ink(sandbox: Sandbox, tmp_path: Path) -> None:
    """CMYK goes from JPEG to JPEG with the amounts of ink it had, not with their opposites."""
    ink = Image.new("CMYK", SIZE, (10, 200, 30, 5))
    content = encoded(ink, ImageFormat.JPEG, quality=100)
    with await _made(sandbox, tmp_path, content, Wishes(quality=100)) as image:
        assert image.mode == "CMYK"
        pairs = zip(image.getpixel((40, 40)), (10, 200, 30, 5), strict=True)  # type: ignore[arg-type]
        assert all(abs(is_ - was) <= 2 for is_, was in pairs)


@pytest.mark.parametrize("form", [ImageFormat.JPEG, ImageFormat.WEBP])
async def test_more_quality_is_never_worse(
    sandbox: Sandbox, tmp_path: Path, form: ImageFormat
) -> None:
    """From 1 to 100 files grow and pictures come closer to the truth."""
    content = encoded(colours((96, 96)))
    (tmp_path / "in").write_bytes(content)
    truth = _enlarged(colours((96, 96)), 2)
    sizes, strays = [], []
    for quality in (1, 10, 30, 50, 70, 90, 100):
        spec = TransformSpec(2, form, quality)
        await sandbox.transform(tmp_path / "in", tmp_path / "out", spec, ignored)
        sizes.append((tmp_path / "out").stat().st_size)
        with Image.open(tmp_path / "out") as image:
            strays.append(_stray(image.convert("RGBA"), truth))
    assert sizes == sorted(sizes)
    assert all(later <= earlier + 0.3 for earlier, later in pairwise(strays))
    assert strays[-1] < 1.5 < strays[0]


@pytest.mark.parametrize("form", list(ImageFormat))
async def test_the_smallest_and_the_longest_sides(
    sandbox: Sandbox, tmp_path: Path, form: ImageFormat
) -> None:
    """A square of 32, the longest side that has a result, and the longest that is accepted."""
    for size in ((32, 32), (33, 47), (8191, 32), (32, 8191)):
        with await _made(sandbox, tmp_path, encoded(colours(size), form), Wishes()) as image:
            assert image.size == (size[0] * 2, size[1] * 2)
    (tmp_path / "in").write_bytes(encoded(colours((8192, 32)), form))
    facts = await sandbox.inspect(tmp_path / "in")
    assert facts == ImageFacts(form, 8192, 32, 1)
    with pytest.raises(FieldsRefusedError, match="largest scale allowed for this image is 1"):
        resolve(Wishes(), facts)


async def test_a_cameras_second_picture_is_left_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """A multi-picture file comes out as a JPEG of its first picture."""
    other = Image.new("RGB", (64, 64), "blue")
    colours().save(tmp_path / "phone", "MPO", save_all=True, append_images=[other], quality=95)
    content = (tmp_path / "phone").read_bytes()
    with await _made(sandbox, tmp_path, content, Wishes()) as image:
        assert image.format == "JPEG"
        assert _stray(image.convert("RGBA"), _enlarged(colours(), 2)) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", [ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP])
async def test_every_orientation_is_applied(
    sandbox: Sandbox, tmp_path: Path, form: ImageFormat, orientation: int
) -> None:
    """The pixel that the tag says stands in the upright picture's corner stands there."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = colours()
    content = encoded(_as_stored(upright, orientation), form, exif=exif, quality=95)
    with await _made(sandbox, tmp_path, content, Wishes(format=ImageFormat.PNG)) as image:
        assert image.size == (SIZE[0] * 2, SIZE[1] * 2)
        assert _stray(image.convert("RGBA"), _enlarged(upright, 2)) < 5


def _as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """What a camera held that way stores, by the tag's definition (Exif, section 4.6.4).

    Row 0 and column 0 of what is stored are: 1 top and left, 2 top and right, 3 bottom and right,
    4 bottom and left, 5 left and top, 6 right and top, 7 right and bottom, 8 left and bottom.
    """
    width, height = upright.size
    swapped = orientation >= 5
    stored = Image.new("RGB", (height, width) if swapped else (width, height))
    from_right = orientation in {2, 3, 6, 7}
    from_bottom = orientation in {3, 4, 7, 8}
    for row in range(stored.height):
        for column in range(stored.width):
            x, y = (row, column) if swapped else (column, row)
            at = (width - 1 - x if from_right else x, height - 1 - y if from_bottom else y)
            colour = upright.getpixel(at)
            assert isinstance(colour, tuple)
            stored.putpixel((column, row), colour)
    return stored


@pytest.mark.parametrize("target", [ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.PNG])
@pytest.mark.parametrize("kind", sorted(animations()))
async def test_every_animation_keeps_frames_timing_and_plays(
    sandbox: Sandbox, tmp_path: Path, kind: str, target: ImageFormat
) -> None:
    """Whatever the ways of putting frames over each other, the same is seen as long."""
    source = animations()[kind]
    with await _made(sandbox, tmp_path, source.content, Wishes(format=target)) as image:
        loop = image.info.get("loop")
        played = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            played.append((round(frame.info["duration"]), frame.convert("RGBA")))
    assert [duration for duration, _ in played] == list(source.durations_ms)
    for shown, (_, frame) in zip(source.shows, played, strict=True):
        expected = _enlarged(shown, 2)
        if target is ImageFormat.GIF:
            expected.putalpha(expected.getchannel("A").point(lambda a: 255 if a > 127 else 0))
        assert _stray(frame, expected) < 8
    assert _plays(loop, target) == source.plays


def _plays(loop: int | None, form: ImageFormat) -> int:
    if form is not ImageFormat.GIF:
        return loop or 0
    return 1 if loop is None else loop + 1 if loop else 0
