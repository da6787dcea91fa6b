"""Files put together byte by byte, where Pillow's own encoders would not write them."""

import struct
import zlib
from collections.abc import Sequence

from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.testing import chunk, encoded

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER_END = 33
_GIF_TRAILER = b";"
_GIF_SCREEN_BYTES = 13

# Where Adam7's seven passes begin and how far they step (PNG, section 8.2): x, y, step x, step y.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def png(
    size: tuple[int, int],
    rows: Sequence[bytes],
    *,
    depth: int = 8,
    kind: int = 0,
    interlaced: bool = False,
    before: bytes = b"",
) -> bytes:
    """A PNG of the given packed rows; `kind` is the colour type, `before` goes before the data."""
    header = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, int(interlaced))
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        (
            PNG_SIGNATURE,
            chunk(b"IHDR", header),
            before,
            chunk(b"IDAT", pixels),
            chunk(b"IEND", b""),
        )
    )


def interlaced_png(image: Image.Image) -> bytes:
    """An RGB picture in Adam7's seven passes, which Pillow reads but does not write."""
    rows = []
    for left, top, step_x, step_y in _PASSES:
        for y in range(top, image.height, step_y):
            line = image.crop((0, y, image.width, y + 1)).tobytes()
            rows.append(b"".join(line[3 * x : 3 * x + 3] for x in range(left, image.width, step_x)))
    return png(image.size, rows, kind=2, interlaced=True)


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """The PNG with one more chunk right behind its header."""
    return content[:PNG_HEADER_END] + chunk(kind, data) + content[PNG_HEADER_END:]


def segment(marker: int, data: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(content: bytes, *segments: bytes) -> bytes:
    """The JPEG with segments right behind its start."""
    return content[:2] + b"".join(segments) + content[2:]


def gif_screen(width: int, height: int) -> bytes:
    """The beginning of a GIF of that canvas, without colours of its own."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)


def gif_frame(
    image: Image.Image, at: tuple[int, int] = (0, 0), *, hundredths: int = 5, disposal: int = 0
) -> bytes:
    """One frame of a GIF, at a place on the canvas, with colours of its own."""
    content = encoded(image.quantize(), ImageFormat.GIF)
    bits = content[10] & 7
    table_end = _GIF_SCREEN_BYTES + (3 << (bits + 1))
    descriptor = content.index(b",", table_end)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, disposal << 2, hundredths, 0, 0)
    place = struct.pack("<BHHHHB", 0x2C, *at, *image.size, 0x80 | bits)
    colours = content[_GIF_SCREEN_BYTES:table_end]
    return control + place + colours + content[descriptor + 10 : -1]


def gif(canvas: tuple[int, int], *frames: bytes) -> bytes:
    """A whole GIF."""
    return gif_screen(*canvas) + b"".join(frames) + _GIF_TRAILER


def riff(*chunks: bytes) -> bytes:
    """A WebP file of chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a WebP file, padded to an even length."""
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def ifd(entries: Sequence[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A big-endian TIFF directory: tag, type, count, value or offset."""
    fields = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return struct.pack(">H", len(entries)) + fields + struct.pack(">I", following)


def tiff(*blocks: bytes) -> bytes:
    """What stands in an EXIF block: its header, and a first directory right behind."""
    return b"MM\0*" + struct.pack(">I", 8) + b"".join(blocks)
