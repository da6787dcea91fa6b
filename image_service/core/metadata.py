"""EXIF that goes along when the client asks for it: told anew, so that it is true of the result.

Runs only inside the sandbox process: EXIF is foreign data, parsed by foreign code.
"""

from typing import Any, Final

from PIL import ExifTags, Image

from image_service.core.bounds import ResultRefusedError

ORIENTATION_TAG: Final = 0x0112
_UPRIGHT: Final = 1
_WIDTHS: Final = frozenset({0x0100, 0xA002})
_HEIGHTS: Final = frozenset({0x0101, 0xA003})
# Places in the old file, its thumbnails, the maker's note, and XMP, IPTC, Photoshop's and the
# colour profile by the names that they have inside TIFF.
_DROPPED: Final = frozenset(
    {0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x0201, 0x0202, 0x927C}
    | {0x02BC, 0x83BB, 0x8649, 0x8773}
)
# What a JPEG's segment takes, and so what the standard allows (Exif 2.32, section 4.7.2).
_LONGEST_WRITTEN: Final = 65_533
# Values may overlap, so that a long block is read into far more memory than it takes in the file.
_LONGEST_READ: Final = 16 * 65_533
_TOO_LONG: Final = "the metadata is too long to be kept; leave it out"


def exif_of_result(image: Image.Image, size: tuple[int, int]) -> bytes:
    """The file's EXIF block for an upright result of `size`, with its prefix; empty if unreadable.

    Raises:
        ResultRefusedError: no file can hold that much.
    """
    if len(image.info.get("exif", b"")) > _LONGEST_READ:
        raise ResultRefusedError(_TOO_LONG)
    try:
        block = _rewritten(image.getexif(), size)
    except Exception:  # noqa: BLE001 - foreign data; a broken block is left behind
        return b""
    if len(block) > _LONGEST_WRITTEN:
        raise ResultRefusedError(_TOO_LONG)
    return block


def _rewritten(exif: Image.Exif, size: tuple[int, int]) -> bytes:
    written = Image.Exif()
    written.endian = exif.endian
    for tag, value in _true_of(dict(exif), size).items():
        written[tag] = value
    for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if group in written:
            written[group] = _true_of(exif.get_ifd(group), size)
    if ExifTags.IFD.Interop in written.get(ExifTags.IFD.Exif, {}):
        written[ExifTags.IFD.Exif][ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
    return written.tobytes() if written else b""


def _true_of(tags: dict[int, Any], size: tuple[int, int]) -> dict[int, Any]:
    told = {tag: value for tag, value in tags.items() if tag not in _DROPPED}
    news = dict.fromkeys(_WIDTHS, size[0]) | dict.fromkeys(_HEIGHTS, size[1])
    news[ORIENTATION_TAG] = _UPRIGHT
    return told | {tag: value for tag, value in news.items() if tag in told}
