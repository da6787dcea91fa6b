"""Animations of every kind, each with the frames that a viewer shows, known without decoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image

from image_service.core.formats import ImageFormat
from image_service.testing import encoded
from tests.corpus.parts import gif, gif_frame

CANVAS = (40, 36)
_RED, _GREEN, _BLUE = (220, 20, 20), (20, 220, 20), (20, 20, 220)


@dataclass(frozen=True, slots=True)
class Animated:
    """A file, what each frame shows and for how long, and how often it plays (0: endlessly)."""

    content: bytes
    shows: Sequence[Image.Image]
    durations_ms: Sequence[int]
    plays: int


def _plain(colour: tuple[int, int, int], size: tuple[int, int] = CANVAS) -> Image.Image:
    return Image.new("RGB", size, colour)


def _patched(colour: tuple[int, int, int], at: tuple[int, int]) -> Image.Image:
    image = _plain(_RED)
    image.paste(colour, (*at, at[0] + 16, at[1] + 16))
    return image


def _written(form: ImageFormat, mode: str, loop: int, **options: object) -> Animated:
    frames = [_patched(_GREEN, (0, 0)), _patched(_BLUE, (8, 8)), _patched(_GREEN, (16, 16))]
    if mode == "RGBA":
        for number, frame in enumerate(frames):
            hole = Image.new("L", CANVAS, 255)
            hole.paste(0, (30, number * 8, 38, number * 8 + 8))
            frame.putalpha(hole)
    durations = [0, 70, 1300]
    content = encoded(
        frames[0],
        form,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=loop,
        **options,
    )
    plays = loop + 1 if form is ImageFormat.GIF and loop else loop
    return Animated(content, frames, durations, plays)


def _put_back(disposal: int, second: Image.Image) -> Animated:
    """A red picture, a green patch on it that goes away again, and a blue patch elsewhere."""
    patch = (16, 16)
    content = gif(
        CANVAS,
        gif_frame(_plain(_RED), disposal=1),
        gif_frame(_plain(_GREEN, patch), (0, 0), disposal=disposal),
        gif_frame(_plain(_BLUE, patch), (20, 20), disposal=1),
    )
    return Animated(content, [_plain(_RED), _patched(_GREEN, (0, 0)), second], [50, 50, 50], 1)


def _over_the_edge() -> Animated:
    """The second frame begins on the canvas and ends beyond it."""
    content = gif(
        CANVAS, gif_frame(_plain(_RED)), gif_frame(_plain(_GREEN, (30, 30)), (24, 20), hundredths=9)
    )
    second = _plain(_RED)
    second.paste(_GREEN, (24, 20, *CANVAS))
    return Animated(content, [_plain(_RED), second], [50, 90], 1)


@cache
def animations() -> Mapping[str, Animated]:
    """Everything, by kind."""
    both = _patched(_GREEN, (0, 0))
    both.paste(_BLUE, (20, 20, 36, 36))
    return {
        "gif": _written(ImageFormat.GIF, "RGB", 3),
        "gif, endless": _written(ImageFormat.GIF, "RGB", 0),
        "gif, holes": _written(ImageFormat.GIF, "RGBA", 0, disposal=2),
        "gif, patch stays": _put_back(1, both),
        "gif, patch goes": _put_back(3, _patched(_BLUE, (20, 20))),
        "gif, over the edge": _over_the_edge(),
        "webp": _written(ImageFormat.WEBP, "RGB", 2, lossless=True),
        "webp, holes": _written(ImageFormat.WEBP, "RGBA", 0, lossless=True),
        "apng": _written(ImageFormat.PNG, "RGB", 5),
        "apng, holes": _written(ImageFormat.PNG, "RGBA", 0),
        "apng, over each other": _written(ImageFormat.PNG, "RGB", 0, blend=1, disposal=0),
    }
