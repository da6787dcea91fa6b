"""Good files of every kind, each with the picture that it shows, known without decoding it."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.testing import chunk, encoded
from tests.corpus.parts import interlaced_png, png

SIZE = (48, 40)


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, what it shows, the mode of its PNG result, and how far lossy coding may stray."""

    content: bytes
    shows: Image.Image
    mode: str
    stray: float = 1.0


def colours(size: tuple[int, int] = SIZE) -> Image.Image:
    """Red grows to the right, green downwards: no mirror image is like it."""
    down = Image.linear_gradient("L")
    right = down.rotate(90).resize(size)
    return Image.merge("RGB", (right, down.resize(size), Image.new("L", size, 60)))


def greys(size: tuple[int, int] = SIZE) -> Image.Image:
    """Black above, white below."""
    return Image.linear_gradient("L").resize(size)


def see_through(size: tuple[int, int] = SIZE) -> Image.Image:
    """An alpha channel: unseen in the middle, soft edges, seen outside."""
    return Image.radial_gradient("L").resize(size)


def flat() -> Image.Image:
    """Four plain colours in four quarters, as palette indices."""
    image = Image.new("P", SIZE)
    image.putpalette([200, 30, 30, 30, 200, 30, 30, 30, 200, 240, 240, 20])
    width, height = SIZE[0] // 2, SIZE[1] // 2
    for index, corner in enumerate(((0, 0), (width, 0), (0, height), (width, height))):
        image.paste(index, (*corner, corner[0] + width, corner[1] + height))
    return image


def _without_first_colour(image: Image.Image) -> Image.Image:
    shown = image.convert("RGBA")
    shown.putalpha(image.point([0] + [255] * 255, "L"))
    return shown


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(see_through())
    return image


def _wide(image: Image.Image) -> list[bytes]:
    """Rows of sixteen-bit samples: each byte above a fixed lower one."""
    samples = image.tobytes()
    stride = image.width * len(image.getbands())
    wide = b"".join(struct.pack("BB", sample, 77) for sample in samples)
    return [wide[2 * start : 2 * (start + stride)] for start in range(0, len(samples), stride)]


def _two_bits() -> tuple[list[bytes], Image.Image]:
    """Four greys in stripes of twelve pixels, packed four to a byte."""
    row = b"\x00" * 3 + b"\x55" * 3 + b"\xaa" * 3 + b"\xff" * 3
    shows = Image.new("L", SIZE)
    for stripe in range(4):
        shows.paste(stripe * 85, (stripe * 12, 0, stripe * 12 + 12, SIZE[1]))
    return [row] * SIZE[1], shows


def _stripe_unseen(shows: Image.Image, stripe: int) -> Image.Image:
    alpha = Image.new("L", SIZE, 255)
    alpha.paste(0, (stripe * 12, 0, stripe * 12 + 12, SIZE[1]))
    unseen = shows.copy()
    unseen.putalpha(alpha)
    return unseen


def _pngs() -> Mapping[str, Sample]:
    rows, stripes = _two_bits()
    wide_stripes = _wide(stripes)
    key = struct.pack(">H", 85 << 8 | 77)
    colour_key = struct.pack(">HHH", *(85 << 8 | 77,) * 3)
    halves = greys().point(lambda value: 255 if value > 127 else 0)
    wide_greys = png(SIZE, _wide(greys()), depth=16)
    return {
        "1": Sample(encoded(halves.convert("1")), halves, "L"),
        "L": Sample(encoded(greys()), greys(), "L"),
        "LA": Sample(encoded(_with_alpha(greys())), _with_alpha(greys()), "LA"),
        "P": Sample(encoded(flat()), flat().convert("RGB"), "RGB"),
        "P, colour unseen": Sample(
            encoded(flat(), transparency=0), _without_first_colour(flat()), "RGBA"
        ),
        "P, alphas": Sample(
            encoded(flat(), transparency=b"\0\xff\xff\xff"), _without_first_colour(flat()), "RGBA"
        ),
        "RGB": Sample(encoded(colours()), colours(), "RGB"),
        "RGBA": Sample(encoded(_with_alpha(colours())), _with_alpha(colours()), "RGBA"),
        "RGB interlaced": Sample(interlaced_png(colours()), colours(), "RGB"),
        "grey of 2 bits": Sample(png(SIZE, rows, depth=2), stripes, "L"),
        "grey of 2 bits, one unseen": Sample(
            png(SIZE, rows, depth=2, before=chunk(b"tRNS", b"\0\1")),
            _stripe_unseen(stripes, 1),
            "LA",
        ),
        "grey of 16 bits": Sample(wide_greys, greys(), "I;16"),
        "grey of 16 bits, one unseen": Sample(
            png(SIZE, wide_stripes, depth=16, before=chunk(b"tRNS", key)),
            _stripe_unseen(stripes, 1),
            "LA",
        ),
        "RGB of 16 bits": Sample(png(SIZE, _wide(colours()), depth=16, kind=2), colours(), "RGB"),
        "RGB of 16 bits, one unseen": Sample(
            png(
                SIZE,
                _wide(stripes.convert("RGB")),
                depth=16,
                kind=2,
                before=chunk(b"tRNS", colour_key),
            ),
            _stripe_unseen(stripes.convert("RGB"), 1),
            "RGBA",
        ),
        "RGBA of 16 bits": Sample(
            png(SIZE, _wide(_with_alpha(colours())), depth=16, kind=6),
            _with_alpha(colours()),
            "RGBA",
        ),
    }


def _jpegs() -> Mapping[str, Sample]:
    def jpeg(image: Image.Image, **options: object) -> bytes:
        return encoded(image, ImageFormat.JPEG, **{"quality": 95, **options})

    # Ink from light, by plain subtraction: what a file without a profile means.
    ink = Image.merge(
        "CMYK",
        (*(band.point(lambda v: 255 - v) for band in colours().split()), Image.new("L", SIZE)),
    )
    return {
        "L": Sample(jpeg(greys()), greys(), "L", 3),
        "RGB": Sample(jpeg(colours()), colours(), "RGB", 3),
        "RGB, halved colours": Sample(jpeg(colours(), subsampling=2), colours(), "RGB", 4),
        "RGB progressive": Sample(jpeg(colours(), progressive=True), colours(), "RGB", 3),
        "RGB not as YCbCr": Sample(jpeg(colours(), keep_rgb=True), colours(), "RGB", 3),
        "YCbCr": Sample(jpeg(colours().convert("YCbCr")), colours(), "RGB", 3),
        "CMYK": Sample(jpeg(ink), colours(), "RGB", 4),
        "restarts": Sample(jpeg(colours(), restart_marker_blocks=1), colours(), "RGB", 3),
    }


def _webps() -> Mapping[str, Sample]:
    webp = ImageFormat.WEBP
    alpha = _with_alpha(colours())
    return {
        "RGB": Sample(encoded(colours(), webp, quality=95), colours(), "RGB", 4),
        "RGB lossless": Sample(encoded(colours(), webp, lossless=True), colours(), "RGB"),
        "RGBA": Sample(encoded(alpha, webp, quality=95), alpha, "RGBA", 4),
        "RGBA lossless": Sample(encoded(alpha, webp, lossless=True), alpha, "RGBA"),
    }


def _gifs() -> Mapping[str, Sample]:
    form = ImageFormat.GIF
    unseen = _without_first_colour(flat())
    return {
        "L": Sample(encoded(greys(), form), greys(), "RGB"),
        "P": Sample(encoded(flat(), form), flat().convert("RGB"), "RGB"),
        "P not interlaced": Sample(
            encoded(flat(), form, interlace=0), flat().convert("RGB"), "RGB"
        ),
        "P, colour unseen": Sample(encoded(flat(), form, transparency=0), unseen, "RGBA"),
    }


@cache
def samples() -> Mapping[tuple[ImageFormat, str], Sample]:
    """Everything, by format and kind."""
    kinds = {
        ImageFormat.PNG: _pngs(),
        ImageFormat.JPEG: _jpegs(),
        ImageFormat.WEBP: _webps(),
        ImageFormat.GIF: _gifs(),
    }
    return {(form, kind): sample for form, of in kinds.items() for kind, sample in of.items()}
