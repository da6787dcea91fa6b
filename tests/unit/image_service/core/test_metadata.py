import io
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from image_service.core.bounds import ResultRefusedError
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.core.transform import transform
from image_service.testing import animation, encoded, picture
from tests.corpus.hostile import looping_exif, with_exif
from tests.corpus.parts import ifd, tiff

_HOLDING = [ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP]

_DESCRIPTION, _MAKE, _ORIENTATION, _WIDTH, _HEIGHT = 0x010E, 0x010F, 0x0112, 0x0100, 0x0101
_EXIF, _GPS = 0x8769, 0x8825
_TAKEN, _PIXELS_X, _PIXELS_Y, _MAKER_NOTE = 0x9003, 0xA002, 0xA003, 0x927C


def _photo_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[_DESCRIPTION] = "A castle"
    exif[_MAKE] = "Acme"
    exif[_ORIENTATION] = 6
    exif[_WIDTH], exif[_HEIGHT] = 48, 40
    exif[_EXIF] = {
        _TAKEN: "2026:01:15 10:30:00",
        _PIXELS_X: 48,
        _PIXELS_Y: 40,
        _MAKER_NOTE: b"SECRET-NOTE",
    }
    exif[_GPS] = {1: "N", 2: (52.0, 31.0, 12.0)}
    return exif


def _result(folder: Path, content: bytes, form: ImageFormat, *, keep: bool = True) -> Image.Image:
    (folder / "in").write_bytes(content)
    spec = TransformSpec(2, form, 90, keep_metadata=keep)
    transform(folder / "in", folder / "out", spec, lambda _done: None)
    return Image.open(io.BytesIO((folder / "out").read_bytes()))


@pytest.mark.parametrize("target", _HOLDING)
@pytest.mark.parametrize("source", _HOLDING)
def test_exif_is_kept_when_asked(tmp_path: Path, source: ImageFormat, target: ImageFormat) -> None:
    """What was taken where with which camera goes along, from each format to each."""
    content = encoded(picture(), source, exif=_photo_exif())
    exif = _result(tmp_path, content, target).getexif()
    assert (exif[_DESCRIPTION], exif[_MAKE]) == ("A castle", "Acme")
    assert exif.get_ifd(_EXIF)[_TAKEN] == "2026:01:15 10:30:00"
    assert exif.get_ifd(_GPS)[1] == "N"
    assert [float(part) for part in exif.get_ifd(_GPS)[2]] == [52, 31, 12]


@pytest.mark.parametrize("target", _HOLDING)
def test_kept_exif_is_true_of_the_result(tmp_path: Path, target: ImageFormat) -> None:
    """It is upright already, and its sides are those of the turned and enlarged picture."""
    content = encoded(picture(), ImageFormat.JPEG, exif=_photo_exif())
    image = _result(tmp_path, content, target)
    exif = image.getexif()
    assert image.size == (80, 96)
    assert exif[_ORIENTATION] == 1
    assert (exif[_WIDTH], exif[_HEIGHT]) == (80, 96)
    details = exif.get_ifd(_EXIF)
    assert (details[_PIXELS_X], details[_PIXELS_Y]) == (80, 96)


def test_nothing_is_told_that_was_not_there(tmp_path: Path) -> None:
    """No orientation or size is made up, and a file without EXIF stays without."""
    exif = Image.Exif()
    exif[_MAKE] = "Acme"
    content = encoded(picture(), ImageFormat.JPEG, exif=exif)
    assert dict(_result(tmp_path, content, ImageFormat.JPEG).getexif()) == {_MAKE: "Acme"}
    bare = _result(tmp_path, encoded(picture(), ImageFormat.JPEG), ImageFormat.JPEG)
    assert "exif" not in bare.info


def _with_thumbnail() -> bytes:
    """EXIF with a second directory, which says where a thumbnail begins and how long it is."""
    thumbnail = encoded(picture(size=(32, 32)), ImageFormat.JPEG, comment=b"SECRET-THUMBNAIL")
    entries = ((0x010F, 2, 4, int.from_bytes(b"Acm\0", "big")),)
    second = ((0x0201, 4, 1, 8 + 18 + 30), (0x0202, 4, 1, len(thumbnail)))
    return b"Exif\0\0" + tiff(ifd(entries, following=8 + 18), ifd(second), thumbnail)


@pytest.mark.parametrize("target", _HOLDING)
def test_thumbnails_and_makers_notes_stay_behind(tmp_path: Path, target: ImageFormat) -> None:
    """They show and describe the old picture, by places in the old file."""
    content = with_exif(_with_thumbnail())
    assert b"SECRET-THUMBNAIL" in content
    result = _result(tmp_path, content, target)
    assert result.getexif()[_MAKE] == "Acm"
    assert b"SECRET" not in (tmp_path / "out").read_bytes()
    noted = encoded(picture(), ImageFormat.JPEG, exif=_photo_exif())
    assert b"SECRET-NOTE" in noted
    _result(tmp_path, noted, target)
    assert b"SECRET" not in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("target", _HOLDING)
def test_only_exif_is_kept(tmp_path: Path, target: ImageFormat) -> None:
    """Comments, XMP and texts are removed even then."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET-TEXT")
    for content in (
        encoded(
            picture(),
            ImageFormat.JPEG,
            exif=_photo_exif(),
            comment=b"SECRET-COMMENT",
            xmp=b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>",
        ),
        encoded(picture(), pnginfo=text, exif=_photo_exif()),
    ):
        _result(tmp_path, content, target)
        assert b"SECRET" not in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("target", [*ImageFormat])
def test_nothing_is_kept_unasked(tmp_path: Path, target: ImageFormat) -> None:
    """The place least of all."""
    for source in _HOLDING:
        content = encoded(picture(), source, exif=_photo_exif())
        result = _result(tmp_path, content, target, keep=False)
        assert not result.getexif()
        assert "exif" not in result.info


@pytest.mark.parametrize("target", [ImageFormat.PNG, ImageFormat.WEBP])
def test_animations_keep_theirs(tmp_path: Path, target: ImageFormat) -> None:
    """An animation has EXIF like a still."""
    exif = Image.Exif()
    exif[_MAKE] = "Acme"
    frames = [picture(), picture("L").convert("RGB")]
    content = encoded(frames[0], target, save_all=True, append_images=frames[1:], exif=exif)
    assert _result(tmp_path, content, target).getexif()[_MAKE] == "Acme"


# Its details would begin in front of the file.
_LOST = b"Exif\0\0" + tiff(ifd([(_EXIF, 9, 1, 2**32 - 16)]))


@pytest.mark.parametrize(
    "exif",
    [_LOST, b"Exif\0\0MM\0*" + b"\xff" * 60_000, b"Exif\0\0nonsense", b"Exif\0\0", looping_exif()],
)
def test_broken_exif_is_left_out(tmp_path: Path, exif: bytes) -> None:
    """What cannot be read cannot be kept, and is no reason to refuse the picture."""
    assert _result(tmp_path, with_exif(exif), ImageFormat.JPEG).size == (96, 80)


def test_exif_beyond_the_standard_is_refused(tmp_path: Path) -> None:
    """A PNG may bring more than its like can hold: that is said, not cut away in silence."""
    exif = Image.Exif()
    for length in (70_000, 2_000_000):
        exif[_DESCRIPTION] = "x" * length
        content = encoded(picture(), exif=exif)
        with pytest.raises(ResultRefusedError, match="too long to be kept"):
            _result(tmp_path, content, ImageFormat.PNG)
        assert _result(tmp_path, content, ImageFormat.PNG, keep=False).size == (96, 80)


def test_a_gif_has_nothing_to_keep(tmp_path: Path) -> None:
    """Asking is no mistake: there is only nothing there."""
    result = _result(tmp_path, animation(ImageFormat.GIF), ImageFormat.PNG)
    assert "exif" not in result.info
