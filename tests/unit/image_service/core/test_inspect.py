import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from image_service.core import inspect as inspection
from image_service.core.bounds import ImageFacts, ImageRefusedError
from image_service.core.ending import is_complete
from image_service.core.formats import ImageFormat
from image_service.core.inspect import inspect
from image_service.testing import animation, chunk, encoded, picture, png_header


def _judged(tmp_path: Path, content: bytes, name: str = "upload") -> ImageFacts:
    path = tmp_path / name
    path.write_bytes(content)
    return inspect(path)


@pytest.mark.parametrize("form", list(ImageFormat))
def test_each_format_is_known_by_content(tmp_path: Path, form: ImageFormat) -> None:
    """A wrong file name changes nothing."""
    facts = _judged(tmp_path, encoded(picture(), form), "lying.txt")
    assert facts == ImageFacts(form, 48, 40, 1)


@pytest.mark.parametrize("form", [ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.PNG])
def test_frames_are_counted(tmp_path: Path, form: ImageFormat) -> None:
    """An animation's frames decide how large its result is."""
    assert _judged(tmp_path, animation(form)).frames == 3


def test_a_multi_picture_jpeg_is_one_jpeg(tmp_path: Path) -> None:
    """Phones write these; the first picture is the photograph."""
    path = tmp_path / "phone.jpg"
    picture().save(path, "MPO", save_all=True, append_images=[picture(size=(64, 64))])
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert inspect(path) == ImageFacts(ImageFormat.JPEG, 48, 40, 1)


@pytest.mark.parametrize("size", [(31, 40), (40, 31), (8193, 40), (40, 8193)])
def test_sides_have_bounds(tmp_path: Path, size: tuple[int, int]) -> None:
    """Too small and too large are both refused, on either side."""
    with pytest.raises(ImageRefusedError, match="32 to 8192"):
        _judged(tmp_path, encoded(Image.new("L", size)))


@pytest.mark.parametrize("size", [(32, 32), (8192, 32)])
def test_the_bounds_are_inside(tmp_path: Path, size: tuple[int, int]) -> None:
    """The smallest and the largest side are taken."""
    facts = _judged(tmp_path, encoded(Image.new("L", size)))
    assert (facts.width, facts.height) == size


@pytest.mark.parametrize("size", [(1, 40000), (40000, 1), (50000, 50000), (65535, 65535)])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    """The claimed size alone is enough; no pixel is decoded."""
    with pytest.raises(ImageRefusedError, match="32 to 8192"):
        _judged(tmp_path, png_header(*size))


@pytest.mark.parametrize("form", list(ImageFormat))
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, form: ImageFormat, part: float) -> None:
    """Wherever the file breaks off, the answer is a refusal."""
    content = encoded(Image.effect_noise((96, 96), 60).convert("RGB"), form)
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, content[: int(len(content) * part)])


@pytest.mark.parametrize("form", list(ImageFormat))
def test_every_missing_byte_is_noticed(tmp_path: Path, form: ImageFormat) -> None:
    """A file that lost its last bytes is truncated, even if every pixel came before them."""
    content = encoded(picture(), form)
    for lost in range(1, len(content)):
        with pytest.raises(ImageRefusedError):
            _judged(tmp_path, content[:-lost])


@pytest.mark.parametrize("form", [ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.PNG])
def test_every_missing_byte_of_an_animation_is_noticed(tmp_path: Path, form: ImageFormat) -> None:
    """Also where it breaks off between two frames, and what is left would play."""
    content = animation(form)
    for lost in range(1, len(content)):
        with pytest.raises(ImageRefusedError):
            _judged(tmp_path, content[:-lost])


@pytest.mark.parametrize("form", list(ImageFormat))
def test_what_stands_behind_the_end_does_not_matter(tmp_path: Path, form: ImageFormat) -> None:
    """A whole image with something after it is a whole image."""
    assert _judged(tmp_path, encoded(picture(), form) + b"something").format is form


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 20}, {"exif": b"Exif\0\0"}])
def test_the_end_of_any_jpeg_is_found(tmp_path: Path, options: dict[str, object]) -> None:
    """One scan or many, with or without metadata."""
    content = encoded(picture(size=(200, 200)), ImageFormat.JPEG, **options)
    assert _judged(tmp_path, content).width == 200


@pytest.mark.parametrize("form", [ImageFormat.GIF, ImageFormat.WEBP, ImageFormat.PNG])
def test_an_animation_truncated_in_a_later_frame_is_refused(
    tmp_path: Path, form: ImageFormat
) -> None:
    """All frames are looked at, not only the first."""
    content = animation(form, size=(200, 200))
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, content[: int(len(content) * 0.8)])


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 1000,
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\0" * 50,
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    """Zeros, text, other formats and bare signatures."""
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, content)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    """The commonest mistake gets its own sentence."""
    with pytest.raises(ImageRefusedError, match="empty"):
        _judged(tmp_path, b"")


@pytest.mark.parametrize("form", ["BMP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000"])
def test_other_formats_are_refused(tmp_path: Path, form: str) -> None:
    """A decoder that is not on the list is never asked."""
    path = tmp_path / "other.png"
    picture().save(path, form)
    with pytest.raises(ImageRefusedError, match="not a JPEG, PNG, WebP or GIF"):
        inspect(path)


def test_a_corrupt_chunk_is_refused(tmp_path: Path) -> None:
    """Pixel data whose checksum does not match is damaged."""
    content = bytearray(encoded(Image.effect_noise((64, 64), 60)))
    content[content.index(b"IDAT") + 20] ^= 0xFF
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, bytes(content))


def test_a_text_bomb_is_refused(tmp_path: Path) -> None:
    """Compressed metadata may not swell without end."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (PngImagePlugin.MAX_TEXT_CHUNK * 3)))
    content = encoded(picture())
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, content[:33] + bomb + content[33:])


def test_a_polyglot_is_what_its_image_is(tmp_path: Path) -> None:
    """Foreign bytes behind an image do not make it something else."""
    content = encoded(picture(), ImageFormat.GIF) + b"PK\x03\x04<script>alert(1)</script>"
    assert _judged(tmp_path, content).format is ImageFormat.GIF


def test_a_huge_exif_block_does_no_harm(tmp_path: Path) -> None:
    """Metadata as large as the format allows is read past."""
    content = encoded(picture(), ImageFormat.JPEG, exif=b"Exif\0\0" + b"MM\0*" + b"\xff" * 65000)
    assert _judged(tmp_path, content).width == 48


def test_endless_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More frames than allowed end the inspection before they are decoded."""
    monkeypatch.setattr(inspection, "MAX_FRAMES", 2)
    with pytest.raises(ImageRefusedError, match="more than 2 frames"):
        _judged(tmp_path, animation(ImageFormat.GIF))


def test_a_claimed_frame_count_is_not_believed(tmp_path: Path) -> None:
    """An animated PNG that promises frames it does not have is damaged."""
    content = encoded(picture())
    promise = chunk(b"acTL", struct.pack(">II", 2000, 0))
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, content[:33] + promise + content[33:])


def test_refusals_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    """The sentence may be shown to anyone: no path, no library."""
    with pytest.raises(ImageRefusedError) as refused:
        _judged(tmp_path, encoded(picture())[:60])
    assert str(tmp_path) not in str(refused.value)
    assert "PIL" not in str(refused.value)


def test_an_end_mark_inside_metadata_is_no_end(tmp_path: Path) -> None:
    """A whole thumbnail in front of a picture that breaks off does not complete it."""
    thumbnail = encoded(picture(size=(32, 32)), ImageFormat.JPEG)
    content = encoded(picture(), ImageFormat.JPEG, exif=b"Exif\0\0" + thumbnail)
    assert _judged(tmp_path, content).width == 48
    assert is_complete(content, ImageFormat.JPEG)
    assert not is_complete(content[:-2], ImageFormat.JPEG)


def test_a_video_behind_a_photograph_does_not_matter(tmp_path: Path) -> None:
    """Phones append one, and its bytes may look like the beginning of a scan."""
    content = encoded(picture(), ImageFormat.JPEG) + b"\0\0\0\x18ftypmp42" + b"\xff\xda\0" * 50
    assert _judged(tmp_path, content).width == 48


def test_an_end_chunk_inside_a_text_is_no_end(tmp_path: Path) -> None:
    """A whole PNG as the text of one that breaks off does not complete it."""
    content = encoded(picture())
    nested = content[:33] + chunk(b"tEXt", b"a\0" + content) + content[33:]
    assert _judged(tmp_path, nested).width == 48
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, nested[:-12])


@pytest.mark.parametrize("kind", [b"IDAT", b"IEND"])
def test_a_wrong_checksum_of_what_counts_is_refused(tmp_path: Path, kind: bytes) -> None:
    """Damage that the decoder would not have noticed."""
    content = encoded(picture())
    at = content.index(kind) - 4
    end = at + 12 + int.from_bytes(content[at : at + 4], "big")
    damaged = content[: end - 1] + bytes([content[end - 1] ^ 1]) + content[end:]
    with pytest.raises(ImageRefusedError):
        _judged(tmp_path, damaged)


def test_a_wrong_checksum_of_a_late_text_does_not_matter(tmp_path: Path) -> None:
    """Nothing of it is shown; other readers do not mind either."""
    content = encoded(picture())
    text = chunk(b"tEXt", b"a\0b")[:-1] + b"\0"
    assert _judged(tmp_path, content[:-12] + text + content[-12:]).width == 48
