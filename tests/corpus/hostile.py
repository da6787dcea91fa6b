"""Files made to hurt: what each of them claims, holds or leaves out."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from PIL import Image, PngImagePlugin

from image_service.core.formats import ImageFormat
from image_service.testing import animation, chunk, encoded, png_header
from tests.corpus.good import colours, flat
from tests.corpus.parts import (
    PNG_HEADER_END,
    PNG_SIGNATURE,
    gif,
    gif_frame,
    gif_screen,
    ifd,
    png,
    riff,
    riff_chunk,
    segment,
    tiff,
    with_chunk,
    with_segments,
)

Build = Callable[[], bytes]

_MEGABYTE: Final = 1024 * 1024
_TAG_COUNT: Final = 5_000
_UNDEFINED: Final = 7
_LONG: Final = 4
_EXIF: Final = 0x8769
_GPS: Final = 0x8825


def _jpeg() -> bytes:
    return encoded(colours(), ImageFormat.JPEG)


def _png() -> bytes:
    return encoded(colours())


def _zeros(count: int) -> bytes:
    return zlib.compress(b"\0" * count, 9)


def _other(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    colours((64, 64)).save(buffer, form, **options)
    return buffer.getvalue()


def _overlapping_exif() -> bytes:
    """Five thousand values, each of nearly the whole block: small in the file, huge in memory."""
    start = 8 + 2 + 12 * _TAG_COUNT + 4
    entries = [(tag, _UNDEFINED, 5_000, start) for tag in range(_TAG_COUNT)]
    return b"Exif\0\0" + tiff(ifd(entries), b"\0" * 5_000)


def _very_long_exif() -> bytes:
    """The same over many segments that a reader puts together: gigabytes if it believed them."""
    start = 8 + 2 + 12 * 65_535 + 4
    entries = [(tag, _UNDEFINED, 3 * _MEGABYTE, start) for tag in range(65_535)]
    block = tiff(ifd(entries), b"\0" * (3 * _MEGABYTE))
    pieces = [block[at : at + 65_000] for at in range(0, len(block), 65_000)]
    return with_segments(_jpeg(), *(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces))


def looping_exif() -> bytes:
    """Directories that lead back to the first one, from everywhere one can be named."""
    entries = [(0x0112, 3, 1, 1 << 16), (_EXIF, _LONG, 1, 8), (_GPS, _LONG, 1, 8)]
    entries += [(0xA005, _LONG, 1, 8)]
    return b"Exif\0\0" + tiff(ifd(entries, following=8))


def with_exif(exif: bytes) -> bytes:
    """A JPEG with that block, as it is."""
    return with_segments(_jpeg(), segment(0xE1, exif))


def _png_text(keyword: str, text: str = "1e999") -> bytes:
    """A text under a keyword for which a reader may keep something of its own."""
    return with_chunk(_png(), b"tEXt", f"{keyword}\0{text}".encode())


def _animated_png_text(keyword: str) -> bytes:
    return with_chunk(animation(ImageFormat.PNG), b"tEXt", f"{keyword}\0soon".encode())


def _webp_canvas(width: int, height: int) -> bytes:
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in (width, height))
    return riff(riff_chunk(b"VP8X", b"\x02\0\0\0" + sides), riff_chunk(b"ANIM", b"\0" * 6))


def _many_frames(count: int) -> bytes:
    dot = gif_frame(Image.new("RGB", (1, 1)))
    return gif((32, 32), *[dot] * count)


def _lying_apng(count: int) -> bytes:
    return with_chunk(_png(), b"acTL", struct.pack(">II", count, 0))


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


# Never an image of ours: only a refusal is right.
REFUSED: Final[Mapping[str, Build]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "zeros": lambda: b"\0" * 100_000,
    "noise": lambda: hashlib.shake_128(b"noise").digest(100_000),
    "text": lambda: b"Lorem ipsum dolor sit amet. " * 100,
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "pdf": lambda: _other("PDF"),
    "bmp": lambda: _other("BMP"),
    "tiff": lambda: _other("TIFF"),
    "ico": lambda: _other("ICO"),
    "eps": lambda: _other("EPS"),
    "avif": lambda: _other("AVIF"),
    "jpeg 2000": lambda: _other("JPEG2000"),
    "psd": lambda: b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + b"\0" * 500,
    "jpeg behind a script": lambda: b"<script>alert(1)</script>" + _jpeg(),
    "signature of jpeg": lambda: b"\xff\xd8\xff\xe0",
    "signature of png": lambda: PNG_SIGNATURE,
    "signature of gif": lambda: b"GIF89a",
    "signature of webp": lambda: b"RIFF\x04\0\0\0WEBP",
    "png of a line": lambda: png_header(1, 40_000),
    "png of a row": lambda: png_header(40_000, 1),
    "png whose line is there": lambda: encoded(Image.new("L", (1, 40_000))),
    "jpeg of a row": lambda: encoded(Image.new("L", (40_000, 1)), ImageFormat.JPEG),
    "gif of a line": lambda: encoded(Image.new("L", (1, 40_000)), ImageFormat.GIF),
    "png of 4 gigapixels": lambda: png_header(65_535, 65_535),
    "png of 2^62 pixels": lambda: png_header(2**31 - 1, 2**31 - 1),
    "png of no size": lambda: png_header(0, 0),
    "png of negative size": lambda: png_header(2**31 + 40, 2**31 + 40),
    "png that claims what it lacks": lambda: png_header(8_000, 8_000),
    "png without pixels": lambda: png((64, 64), []),
    "png without data": lambda: (
        PNG_SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    ),
    "png without its palette": lambda: png((64, 64), [b"\0" * 64] * 64, kind=3),
    "png of a kind that is none": lambda: png((64, 64), [b"\0" * 64] * 64, depth=3, kind=5),
    "png with a text bomb": lambda: with_chunk(_png(), b"zTXt", b"a\0\0" + _zeros(60 * _MEGABYTE)),
    "png with an international bomb": lambda: with_chunk(
        _png(), b"iTXt", b"a\0\1\0\0\0" + _zeros(60 * _MEGABYTE)
    ),
    "png with a hundred texts": lambda: (
        _png()[:PNG_HEADER_END]
        + chunk(b"zTXt", b"a\0\0" + _zeros(PngImagePlugin.MAX_TEXT_CHUNK - 9)) * 100
        + _png()[PNG_HEADER_END:]
    ),
    "png with a chunk of 2 GB": lambda: (
        _png()[:PNG_HEADER_END] + struct.pack(">I", 2**31 - 1) + b"tEXt"
    ),
    "png with a wrong header checksum": lambda: _flipped(_png(), 30),
    "png with a wrong data checksum": lambda: _flipped(_png(), len(_png()) - 14),
    "png with a wrong byte of data": lambda: _flipped(_png(), 60),
    "png that promises 2000 frames": lambda: _lying_apng(2_000),
    "png whose later frame is elsewhere": lambda: with_chunk(
        animation(ImageFormat.PNG),
        b"fcTL",
        struct.pack(">IIIIIHHBB", 9, 40, 36, 2**31, 0, 1, 1, 0, 0),
    ),
    "gif of no size": lambda: gif_screen(0, 0) + b";",
    "gif without frames": lambda: gif((64, 64)),
    "gif of a huge canvas": lambda: gif((65_535, 65_535), gif_frame(Image.new("RGB", (1, 1)))),
    "gif of 3001 frames": lambda: _many_frames(3_001),
    "gif that grows to a bomb": lambda: gif(
        (32, 32),
        gif_frame(Image.new("RGB", (32, 32))),
        gif_frame(Image.new("RGB", (32, 32)), (65_000, 65_000)),
    ),
    "gif that grows and grows": lambda: gif(
        (32, 32),
        gif_frame(Image.new("RGB", (32, 32))),
        *[gif_frame(Image.new("RGB", (32, 32)), (8_100, 8_100))] * 100,
    ),
    "webp of a huge canvas": lambda: _webp_canvas(2**24, 2**24),
    "webp of a canvas and nothing": lambda: _webp_canvas(8_000, 8_000),
    "webp of chunks that lie": lambda: b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\0" * 50,
    "webp whose chunk is cut": lambda: riff(b"VP8 \xff\xff\xff\x7f" + b"\0" * 50),
    "jpeg of nothing": lambda: b"\xff\xd8\xff\xd9",
    "jpeg of headers only": lambda: _jpeg()[: _jpeg().index(b"\xff\xda")] + b"\xff\xd9",
    "jpeg without tables": lambda: _jpeg().replace(b"\xff\xdb", b"\xff\xfe"),
    "jpeg of huge sides": lambda: _with_jpeg_size(65_535, 65_535),
    "jpeg of no height": lambda: _with_jpeg_size(64, 0),
}


def _with_jpeg_size(width: int, height: int) -> bytes:
    content = _jpeg()
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


# Odd, but an image all the same; or so odd that either answer is right.
ODD: Final[Mapping[str, Build]] = {
    "zip behind a jpeg": lambda: _jpeg() + b"PK\x03\x04" + b"\xff\xda" * 20,
    "png that promises 4 billion frames": lambda: _lying_apng(2**32 - 1),
    "jpeg cut in a scan, with an end": lambda: (
        encoded(colours((200, 200)), ImageFormat.JPEG, progressive=True)[:-900] + b"\xff\xd9"
    ),
    "script behind a gif": lambda: encoded(flat(), ImageFormat.GIF) + b"/*<script>*/",
    "page behind a png": lambda: _png() + b"<html><script>alert(1)</script></html>",
    "script inside a gif": lambda: encoded(flat(), ImageFormat.GIF, comment=b"*/=1;alert(1)//"),
    "png with a profile bomb": lambda: with_chunk(
        _png(), b"iCCP", b"a\0\0" + _zeros(60 * _MEGABYTE)
    ),
    "png with a data bomb": lambda: png((32, 32), [b"\0" * 32] * 32 + [b"\0" * (50 * _MEGABYTE)]),
    "png of many empty chunks": lambda: (
        _png()[:PNG_HEADER_END] + chunk(b"IDAT", b"") * 50_000 + _png()[PNG_HEADER_END:]
    ),
    "png with two headers": lambda: _png()[:PNG_HEADER_END] + _png()[8:],
    "png with a wrong text checksum": lambda: _flipped(_png_text("Author"), 45),
    "gif of tiny frames on a large canvas": lambda: gif(
        (3_000, 3_000), *[gif_frame(Image.new("RGB", (1, 1)))] * 1_000
    ),
    "gif of 3000 frames": lambda: _many_frames(3_000),
    "gif of frames of no time": lambda: animation(ImageFormat.GIF, [0] * 50),
    "gif that grows once": lambda: gif(
        (32, 32),
        gif_frame(Image.new("RGB", (32, 32))),
        gif_frame(Image.new("RGB", (32, 32)), (7_000, 7_000)),
    ),
    "webp shown for hours": lambda: animation(ImageFormat.WEBP, (16_000_000, 16_000_000)),
    "apng shown for hours": lambda: animation(ImageFormat.PNG, (60_000_000, 60_000_000)),
    "apng played for ever": lambda: animation(ImageFormat.PNG, options={"loop": 2**32 - 1}),
    "gif played for ever": lambda: animation(ImageFormat.GIF, options={"loop": 65_535}),
    "jpeg with looping exif": lambda: with_exif(looping_exif()),
    "jpeg with overlapping exif": lambda: with_exif(_overlapping_exif()),
    "jpeg with exif over many segments": _very_long_exif,
    "png with overlapping exif": lambda: with_chunk(_png(), b"eXIf", _overlapping_exif()[6:]),
    "jpeg with exif of ones": lambda: with_exif(b"Exif\0\0MM\0*" + b"\xff" * 65_000),
    "jpeg with many starts": lambda: with_segments(_jpeg(), *[b"\xff\xd8"] * 1_000),
    "jpeg with many comments": lambda: with_segments(
        _jpeg(), *[segment(0xFE, b"x" * 60_000)] * 300
    ),
    "jpeg with many tables": lambda: with_segments(
        _jpeg(), *[segment(0xDB, b"\0" + b"\1" * 64)] * 20_000
    ),
    "jpeg with profile pieces that lie": lambda: with_segments(
        _jpeg(), *[segment(0xE2, b"ICC_PROFILE\0\xff\x01" + b"x" * 99)] * 255
    ),
    "jpeg with photoshop pieces that lie": lambda: with_segments(
        _jpeg(), segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\xff" + b"\xff" * 60)
    ),
    "jpeg with a mangled picture index": lambda: with_segments(
        _jpeg(), segment(0xE2, b"MPF\0MM\0*\0\0\0\x08" + b"\xff" * 200)
    ),
    "jpeg with an empty adobe segment": lambda: with_segments(_jpeg(), segment(0xEE, b"Adobe")),
    "jpeg with fill bytes": lambda: with_segments(_jpeg(), b"\xff" * 1_000),
    **{
        f"png with a text called {word}": partial(_png_text, word)
        for word in (
            "transparency",
            "loop",
            "duration",
            "icc_profile",
            "exif",
            "gamma",
            "dpi",
            "background",
            "interlace",
            "Raw profile type exif",
            "xmp",
            "XML:com.adobe.xmp",
        )
    },
    **{
        f"animated png with a text called {word}": partial(_animated_png_text, word)
        for word in (
            "transparency",
            "loop",
            "duration",
            "disposal",
            "blend",
            "bbox",
            "default_image",
        )
    },
}
