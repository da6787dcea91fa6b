"""Is this file an image we accept? Decided by content alone, never by a name or declared type.

Runs only inside the sandbox process: decoders meet hostile bytes here for the first time.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from image_service.core.bounds import (
    MAX_FRAMES,
    MAX_OUTPUT_PIXELS,
    MAX_SIDE,
    MIN_SIDE,
    SCALES,
    ImageFacts,
    ImageRefusedError,
)
from image_service.core.ending import is_complete
from image_service.core.formats import ImageFormat

DECODERS: Final = ("JPEG", "PNG", "WEBP", "GIF")
# A camera's multi-picture file is a JPEG with more pictures behind it; the first one counts.
_BY_DECODER: Final = {
    "JPEG": ImageFormat.JPEG,
    "MPO": ImageFormat.JPEG,
    "PNG": ImageFormat.PNG,
    "WEBP": ImageFormat.WEBP,
    "GIF": ImageFormat.GIF,
}
_MAX_DECODED_PIXELS: Final = MAX_OUTPUT_PIXELS // min(SCALES) ** 2


@contextmanager
def decoding() -> Iterator[None]:
    """Decide here, not by interpreter flags, what Pillow's warnings mean.

    A warning of a decompression bomb is an error; complaints about odd metadata are nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def inspect(path: Path) -> ImageFacts:
    """Judge a file by its header first, then by decoding it once.

    Raises:
        ImageRefusedError: empty, not an image, another format, too small or too large, too
            many frames, a decompression bomb, damaged or truncated.
    """
    if path.stat().st_size == 0:
        raise ImageRefusedError("The file is empty.")
    try:
        with decoding(), open_image(path) as image:
            facts = _facts(image)
            _decode(image)
    except ImageRefusedError:
        raise
    except Exception as error:
        # Decoders raise whatever their parsing stumbles over: OSError, SyntaxError, struct.error,
        # EOFError, MemoryError. All of them say the same about the file.
        raise ImageRefusedError(_DAMAGED) from error
    if not is_complete(path.read_bytes(), facts.format):
        raise ImageRefusedError(_DAMAGED)
    return facts


def open_image(path: Path) -> Image.Image:
    """Read an image's header, inside `decoding`; the caller closes it.

    Raises:
        ImageRefusedError: no decoder of ours knows the file, or its header alone is a bomb.
    """
    try:
        return Image.open(path, formats=DECODERS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefusedError(_SIDES) from error
    except Exception as error:
        raise ImageRefusedError("The file is not a JPEG, PNG, WebP or GIF image.") from error


_DAMAGED: Final = "The image is damaged or truncated."
_BEYOND: Final = "The frames of the image reach too far beyond its canvas."
_SIDES: Final = f"Each side of the image must be {MIN_SIDE} to {MAX_SIDE} pixels."


def _facts(image: Image.Image) -> ImageFacts:
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in image.size):
        raise ImageRefusedError(_SIDES)
    form = _BY_DECODER[image.format or ""]
    frames = getattr(image, "n_frames", 1) if form.animates else 1
    if frames > MAX_FRAMES:
        raise ImageRefusedError(f"The image has more than {MAX_FRAMES} frames.")
    return ImageFacts(form, image.width, image.height, frames)


def _decode(image: Image.Image) -> None:
    """Decode every frame that could become output, to find damage before a job exists."""
    # A JPEG is checked at an eighth of its size: all data is read, most arithmetic is saved.
    image.draft(None, (image.width // 8, image.height // 8))
    image.load()
    if image.mode == "P" and image.palette is None:
        # A PNG may say that it has a palette and bring none; Pillow shows that only later.
        raise ImageRefusedError(_DAMAGED)
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    canvas = image.size
    # More pixels than this cannot come out of any animation.
    left = _MAX_DECODED_PIXELS - image.width * image.height
    for frame in range(1, frames):
        image.seek(frame)
        left -= image.width * image.height
        if left < 0:
            _check_growth(image, canvas)
            return
        image.load()


def _check_growth(image: Image.Image, canvas: tuple[int, int]) -> None:
    """A GIF's frames may reach beyond its canvas, and Pillow enlarges the picture with each.

    What then is too much to decode is not what the bounds of the result were reckoned from.
    """
    if image.size != canvas:
        raise ImageRefusedError(_BEYOND)
