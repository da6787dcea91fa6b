"""Colour models: what resampling can work on, what each encoder can hold, which profile still fits.

Runs only inside the sandbox process.
"""

from typing import Final

from PIL import Image, ImageMath

from image_service.core.formats import ImageFormat

_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
_RESAMPLABLE: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"}) | _SIXTEEN_BIT
_WITH_ALPHA: Final = frozenset({"LA", "RGBA"})
_WHITE: Final = 255
_OPAQUE_FROM: Final = 128
# Bytes 16 to 19 of a profile name the colour space of its data (ICC.1, section 7.2.6).
_PROFILE_SPACES: Final = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "LA": b"GRAY"} | {
    "CMYK": b"CMYK",
    "I;16": b"GRAY",
}


def for_resampling(frame: Image.Image) -> Image.Image:
    """The same picture in a model whose values may be averaged: no palette, no single bits."""
    if frame.mode == "I;16" and "transparency" in frame.info:
        return _sixteen_bit_see_through(frame, frame.info["transparency"])
    if frame.has_transparency_data:
        return frame.convert("LA" if frame.mode in {"1", "L", "LA"} else "RGBA")
    if frame.mode in _RESAMPLABLE:
        return frame
    return frame.convert("L" if frame.mode == "1" else "RGB")


def for_encoder(image: Image.Image, target: ImageFormat) -> Image.Image:
    """The same picture in a model the target format holds."""
    match target:
        case ImageFormat.PNG:
            return image.convert("RGB") if image.mode == "CMYK" else image
        case ImageFormat.JPEG:
            return _on_white(_eight_bit(image))
        case ImageFormat.WEBP:
            return _full_colour(_eight_bit(image))
        case ImageFormat.GIF:
            return _sharp_alpha(_full_colour(_eight_bit(image)))


def fitting_profile(profile: object, mode: str) -> bytes | None:
    """The profile, if it describes the colours of this mode; a wrong one is worse than none."""
    if not isinstance(profile, bytes) or profile[16:20] != _PROFILE_SPACES.get(mode):
        return None
    return profile


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode not in _SIXTEEN_BIT:
        return image
    # Converting straight to eight bits would clip: everything above 255 would be white.
    return image.convert("I").point(lambda value: value / 256).convert("L")


def _sixteen_bit_see_through(frame: Image.Image, unseen: int) -> Image.Image:
    """Eight bits and alpha: nothing here can resample sixteen bits with it."""
    values = frame.convert("I")
    seen = ImageMath.lambda_eval(lambda images: (images["x"] != unseen) * _WHITE, x=values)
    return Image.merge("LA", (_eight_bit(frame), seen.convert("L")))


def _full_colour(image: Image.Image) -> Image.Image:
    return image.convert("RGBA" if image.mode in _WITH_ALPHA else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in _WITH_ALPHA:
        return image
    plain = "L" if image.mode == "LA" else "RGB"
    canvas = Image.new(plain, image.size, _WHITE if plain == "L" else (_WHITE,) * 3)
    canvas.paste(image.convert(plain), mask=image.getchannel("A"))
    return canvas


def _sharp_alpha(image: Image.Image) -> Image.Image:
    """GIF knows only seen and unseen: decide at half, or soft edges get a dark fringe."""
    if image.mode != "RGBA":
        return image
    seen = image.getchannel("A").point(lambda alpha: 255 if alpha >= _OPAQUE_FROM else 0)
    image.putalpha(seen)
    return image
