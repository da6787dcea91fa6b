import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageSequence, ImageStat, PngImagePlugin

from image_service.core.bounds import ImageRefusedError, ResultRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.core.transform import transform
from image_service.testing import animation, encoded, picture, srgb_profile
from tests.corpus.parts import gif, gif_frame

_MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]


def _spec(form: ImageFormat = ImageFormat.PNG, scale: int = 2) -> TransformSpec:
    return TransformSpec(scale=scale, format=form, quality=90)


def _enlarged(tmp_path: Path, content: bytes, spec: TransformSpec | None = None) -> Image.Image:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(content)
    transform(source, target, spec or _spec(), lambda _done: None)
    image = Image.open(io.BytesIO(target.read_bytes()))
    assert image.format == (spec or _spec()).format.value.upper()
    return image


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference a channel, 0 to 255, of two pictures on white."""
    pair = [Image.alpha_composite(_white(each), each.convert("RGBA")) for each in (one, other)]
    means = ImageStat.Stat(ImageChops.difference(*pair)).mean
    return max(means)


def _white(image: Image.Image) -> Image.Image:
    return Image.new("RGBA", image.size, (255, 255, 255, 255))


def _source_of(mode: str) -> bytes:
    return encoded(picture(mode), ImageFormat.JPEG if mode == "CMYK" else ImageFormat.PNG)


@pytest.mark.parametrize("target", list(ImageFormat))
@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("scale", [2, 4])
def test_every_mode_comes_out_looking_the_same(
    tmp_path: Path, mode: str, target: ImageFormat, scale: int
) -> None:
    """Whatever the colour model, the result is the same picture, only larger."""
    image = _enlarged(tmp_path, _source_of(mode), _spec(target, scale))
    assert image.size == (48 * scale, 40 * scale)
    with Image.open(io.BytesIO(_source_of(mode))) as source:
        expected = _eight_bit(source).resize(image.size, Image.Resampling.LANCZOS)
    assert _difference(_eight_bit(image), expected) < 6


def _pixel(image: Image.Image, at: tuple[int, int]) -> tuple[int, ...]:
    colour = image.convert("RGBA").getpixel(at)
    assert isinstance(colour, tuple)
    return colour


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGBA")
    return image.convert("RGBA")


def test_sixteen_bits_stay_sixteen_bits_in_png(tmp_path: Path) -> None:
    """A format that can hold the depth keeps it."""
    assert _enlarged(tmp_path, _source_of("I;16")).mode == "I;16"


def test_cmyk_stays_cmyk_in_jpeg(tmp_path: Path) -> None:
    """Print data is not turned into screen data on the way."""
    assert _enlarged(tmp_path, _source_of("CMYK"), _spec(ImageFormat.JPEG)).mode == "CMYK"


@pytest.mark.parametrize("target", [ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.GIF])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_kept(tmp_path: Path, mode: str, target: ImageFormat) -> None:
    """What could be seen through still can, and the rest still cannot."""
    alpha = _enlarged(tmp_path, _source_of(mode), _spec(target)).convert("RGBA").getchannel("A")
    assert alpha.getpixel((5, 75)) == 0
    assert alpha.getpixel((90, 5)) == 255


def test_a_palettes_transparent_colour_is_kept(tmp_path: Path) -> None:
    """Transparency by index becomes transparency by pixel."""
    flat = picture("P")
    content = encoded(flat, transparency=flat.getpixel((0, 0)))
    assert _pixel(_enlarged(tmp_path, content), (2, 2))[3] == 0


def test_jpeg_puts_transparency_on_white(tmp_path: Path) -> None:
    """A format without alpha shows the background people expect, not black."""
    image = _enlarged(tmp_path, _source_of("RGBA"), _spec(ImageFormat.JPEG))
    assert min(_pixel(image, (5, 75))) > 245


def test_hidden_colours_do_not_bleed_into_edges(tmp_path: Path) -> None:
    """Resampling works on premultiplied alpha: red that nobody saw stays unseen."""
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (20, 0, 40, 40))
    result = _enlarged(tmp_path, encoded(image))
    seen = [colour for x in range(80) if (colour := _pixel(result, (x, 40)))[3] > 8]
    assert max(colour[0] for colour in seen) < 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    """All eight EXIF orientations are applied to the pixels and then forgotten."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(), ImageFormat.JPEG, exif=exif, quality=95)
    result = _enlarged(tmp_path, content)
    expected = (80, 96) if orientation >= 5 else (96, 80)
    assert result.size == expected
    assert not result.getexif()
    # The red corner of the upright picture, by the tag's definition (row 0 and column 0 are …).
    corner = {
        1: (0, 0),
        2: (1, 0),
        3: (1, 1),
        4: (0, 1),
        5: (0, 0),
        6: (1, 0),
        7: (1, 1),
        8: (0, 1),
    }
    x, y = (near * (side - 1) for near, side in zip(corner[orientation], result.size, strict=True))
    red, green, blue, _ = _pixel(result, (x, y))
    assert red > 180
    assert max(green, blue) < 120


@pytest.mark.parametrize("target", list(ImageFormat))
def test_metadata_is_stripped(tmp_path: Path, target: ImageFormat) -> None:
    """Places, names and comments do not travel on, whichever the format."""
    exif = Image.Exif()
    exif[0x010E] = "SECRET-EXIF"
    content = encoded(
        picture(),
        ImageFormat.JPEG,
        exif=exif,
        comment=b"SECRET-COMMENT",
        xmp=b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>",
        dpi=(300, 300),
    )
    assert content.count(b"SECRET") == 3
    _enlarged(tmp_path, content, _spec(target))
    assert b"SECRET" not in (tmp_path / "out").read_bytes()


def test_png_text_and_gif_comments_are_stripped(tmp_path: Path) -> None:
    """The other formats' own places for text are emptied too."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET-TEXT")
    for content in (
        encoded(picture(), pnginfo=text),
        encoded(picture("P"), ImageFormat.GIF, comment=b"SECRET-COMMENT"),
    ):
        assert b"SECRET" in content
        for target in ImageFormat:
            _enlarged(tmp_path, content, _spec(target))
            assert b"SECRET" not in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("target", [ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.JPEG])
def test_the_colour_profile_is_kept(tmp_path: Path, target: ImageFormat) -> None:
    """The numbers mean the same colours afterwards."""
    profile = srgb_profile()
    content = encoded(picture(), ImageFormat.JPEG, icc_profile=profile)
    assert _enlarged(tmp_path, content, _spec(target)).info["icc_profile"] == profile


def test_a_profile_of_another_colour_model_is_dropped(tmp_path: Path) -> None:
    """A profile for RGB on a grey picture would be a lie."""
    content = encoded(picture("L"), icc_profile=srgb_profile())
    assert "icc_profile" not in _enlarged(tmp_path, content).info


_ANIMATED = [ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.PNG]


def _frames(image: Image.Image) -> list[tuple[int, Image.Image]]:
    played = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        played.append((round(frame.info["duration"]), frame.convert("RGBA")))
    return played


@pytest.mark.parametrize("target", _ANIMATED)
@pytest.mark.parametrize("source", _ANIMATED)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_animation_keeps_every_frame_and_its_timing(
    tmp_path: Path, source: ImageFormat, target: ImageFormat, mode: str
) -> None:
    """From each format to each: the same frames, each shown as long as before."""
    content = animation(source, mode=mode, options=_cleared(source))
    with Image.open(io.BytesIO(content)) as image:
        before = _frames(image)
    after = _frames(_enlarged(tmp_path, content, _spec(target)))
    assert [duration for duration, _ in after] == [40, 80, 120]
    for (_, small), (_, large) in zip(before, after, strict=True):
        assert large.size == (80, 72)
        assert _difference(small.resize(large.size, Image.Resampling.LANCZOS), large) < 8


def _cleared(form: ImageFormat) -> dict[str, int]:
    return {"disposal": 2} if form is ImageFormat.GIF else {}


def test_a_pixel_may_turn_transparent_again(tmp_path: Path) -> None:
    """A sprite that moves over nothing leaves no trail."""
    frames = [Image.new("RGBA", (40, 40), (0, 0, 0, 0)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((255, 0, 0, 255), (number * 10, 10, number * 10 + 10, 20))
    content = encoded(
        frames[0],
        ImageFormat.GIF,
        save_all=True,
        append_images=frames[1:],
        duration=50,
        disposal=2,
    )
    last = _frames(_enlarged(tmp_path, content, _spec(ImageFormat.GIF)))[2][1]
    assert _pixel(last, (10, 30))[3] == 0
    assert last.getpixel((50, 30)) == (255, 0, 0, 255)


@pytest.mark.parametrize(
    ("source", "options", "target", "loop"),
    [
        (ImageFormat.GIF, {}, ImageFormat.WEBP, 1),
        (ImageFormat.GIF, {}, ImageFormat.GIF, None),
        (ImageFormat.GIF, {"loop": 0}, ImageFormat.WEBP, 0),
        (ImageFormat.GIF, {"loop": 0}, ImageFormat.GIF, 0),
        (ImageFormat.GIF, {"loop": 3}, ImageFormat.GIF, 3),
        (ImageFormat.GIF, {"loop": 3}, ImageFormat.PNG, 4),
        (ImageFormat.WEBP, {"loop": 4}, ImageFormat.GIF, 3),
        (ImageFormat.WEBP, {"loop": 1}, ImageFormat.GIF, None),
        (ImageFormat.PNG, {"loop": 0}, ImageFormat.GIF, 0),
    ],
)
def test_it_plays_as_often_as_before(
    tmp_path: Path,
    source: ImageFormat,
    options: dict[str, int],
    target: ImageFormat,
    loop: int | None,
) -> None:
    """GIF counts repetitions, the others count plays; endless stays endless."""
    result = _enlarged(tmp_path, animation(source, options=options), _spec(target))
    assert result.info.get("loop") == loop


def test_a_jpeg_of_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    """A still format takes the still."""
    result = _enlarged(tmp_path, animation(ImageFormat.GIF), _spec(ImageFormat.JPEG))
    assert _pixel(result, (2, 2))[1] > 200


@pytest.mark.parametrize("form", list(ImageFormat))
def test_damage_found_late_is_a_refusal(tmp_path: Path, form: ImageFormat) -> None:
    """The second look refuses what a first look might have missed."""
    content = encoded(Image.effect_noise((96, 96), 60).convert("RGB"), form)
    with pytest.raises(ImageRefusedError):
        _enlarged(tmp_path, content[: len(content) // 2])


def test_broken_exif_turns_nothing(tmp_path: Path) -> None:
    """Metadata that cannot be read is no reason to refuse the picture."""
    content = encoded(picture(), ImageFormat.JPEG, exif=b"Exif\0\0MM\0*" + b"\xff" * 60000)
    assert _enlarged(tmp_path, content).size == (96, 80)


def _told(tmp_path: Path, content: bytes, form: ImageFormat) -> list[int]:
    (tmp_path / "in").write_bytes(content)
    told: list[int] = []
    transform(tmp_path / "in", tmp_path / "out", _spec(form), told.append)
    return told


@pytest.mark.parametrize("form", list(ImageFormat))
def test_a_single_picture_has_progress(tmp_path: Path, form: ImageFormat) -> None:
    """Read, enlarged, written: each is told, whatever the formats."""
    assert _told(tmp_path, encoded(picture(), form), form) == [10, 50, 100]


def test_every_frame_moves_the_progress(tmp_path: Path) -> None:
    """Reading and enlarging each frame counts; only the written file completes it."""
    told = _told(tmp_path, animation(ImageFormat.GIF), ImageFormat.GIF)
    assert told == [3, 16, 20, 33, 36, 50, 100]


def test_progress_only_grows_and_says_nothing_twice(tmp_path: Path) -> None:
    """Of many frames, only those are told that make a per cent."""
    content = gif((32, 32), *[gif_frame(Image.new("RGB", (32, 32)))] * 300)
    told = _told(tmp_path, content, ImageFormat.GIF)
    assert told == sorted(set(told))
    assert told[-1] == 100
    assert len(told) <= 51


def test_what_webp_cannot_hold_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder's limit becomes advice. Reaching it for real takes 268 megapixels of noise."""

    def overflow(*_arguments: object, **_options: object) -> None:
        raise ValueError("encoding error 6")

    monkeypatch.setattr(Image.Image, "save", overflow)
    (tmp_path / "in").write_bytes(_PNG)
    with pytest.raises(ResultRefusedError, match="choose another format"):
        transform(tmp_path / "in", tmp_path / "out", _spec(ImageFormat.WEBP), lambda _done: None)


_PNG = encoded(picture())


@pytest.mark.parametrize("durations", [(700_000, 100), (400_000, 400_000)])
def test_a_time_that_gif_cannot_say_is_said_so(tmp_path: Path, durations: tuple[int, int]) -> None:
    """Of one frame, or of two that are alike and become one."""
    frames = [picture(), picture(), picture("L").convert("RGB")]
    content = encoded(
        frames[0],
        ImageFormat.PNG,
        save_all=True,
        append_images=frames[1:],
        duration=[*durations, 100],
        disposal=1,
    )
    with pytest.raises(ResultRefusedError, match="shown longer"):
        _enlarged(tmp_path, content, _spec(ImageFormat.GIF))


@pytest.mark.parametrize(
    ("source", "loop", "target", "told"),
    [
        (ImageFormat.GIF, 65_535, ImageFormat.WEBP, 65_535),
        (ImageFormat.GIF, 65_535, ImageFormat.PNG, 65_536),
        (ImageFormat.PNG, 2**32 - 1, ImageFormat.GIF, 65_535),
        (ImageFormat.PNG, 2**32 - 1, ImageFormat.PNG, 2**31 - 1),
    ],
)
def test_more_plays_than_a_format_counts_are_as_many_as_it_can(
    tmp_path: Path, source: ImageFormat, loop: int, target: ImageFormat, told: int
) -> None:
    """Nobody will see the difference, and it is no reason to fail."""
    content = animation(source, options={"loop": loop})
    assert _enlarged(tmp_path, content, _spec(target)).info["loop"] == told


@pytest.mark.parametrize("word", ["loop", "duration", "transparency", "icc_profile"])
@pytest.mark.parametrize("target", list(ImageFormat))
def test_a_text_is_never_taken_for_a_number(tmp_path: Path, word: str, target: ImageFormat) -> None:
    """A PNG's text may be called like something that the decoder keeps."""
    text = PngImagePlugin.PngInfo()
    text.add_text(word, "1e999")
    assert _enlarged(tmp_path, encoded(picture(), pnginfo=text), _spec(target)).size == (96, 80)
