"""What a file claims about its picture besides the pixels, believed as far as its type is right.

Pillow puts a PNG's text under the keyword that the file gives it, right among what it found out
itself: a text called `loop` stands where a number belongs. Runs only inside the sandbox process.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from PIL import Image

# By how much Pillow multiplies samples of few bits, to fill a byte.
_SPREAD: Final = {"L;2": 85, "L;4": 17}


def duration_ms(info: Mapping[Any, Any]) -> int:
    """How long the frame is shown; 0 when the file does not say so sensibly."""
    claimed = info.get("duration")
    if not isinstance(claimed, int | float) or not isfinite(claimed):
        return 0
    return max(round(claimed), 0)


def loops(info: Mapping[Any, Any]) -> int | None:
    """The number that the file gives for its repetitions; None when there is none."""
    claimed = info.get("loop")
    return claimed if isinstance(claimed, int) else None


def colour_profile(info: Mapping[Any, Any]) -> bytes | None:
    """The bytes of the colour profile, if there is one."""
    claimed = info.get("icc_profile")
    return claimed if isinstance(claimed, bytes) else None


def mend_transparency(image: Image.Image) -> None:
    """Make a PNG's transparent colour comparable with decoded pixels; before the first is loaded.

    It stands in the file as the samples do, and Pillow decodes the samples to bytes.
    """
    claimed = image.info.get("transparency")
    raw = _raw_mode(image)
    if isinstance(claimed, int) and raw in _SPREAD:
        image.info["transparency"] = claimed * _SPREAD[raw]
    elif isinstance(claimed, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(sample >> 8 for sample in claimed)


def _raw_mode(image: Image.Image) -> str:
    """How the samples stand in the file; known only until the pixels are loaded."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return arguments if isinstance(arguments, str) else ""


def check_transparency(frame: Image.Image) -> None:
    """Drop a transparent colour that is none for pixels of this kind."""
    if not _is_colour_of(frame.info.get("transparency"), frame.mode):
        frame.info.pop("transparency", None)


def _is_colour_of(claimed: object, mode: str) -> bool:
    match claimed:
        case int():
            return mode in {"1", "L", "P", "I;16"}
        case bytes():
            return mode == "P"
        case (int(), int(), int()):
            return mode == "RGB"
        case _:
            return False
