"""The pixel work: one image file in, one larger image file out.

Runs only inside the sandbox process. Colours are prepared in `core/colour.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from PIL import Image, ImageSequence

from image_service.core import claims
from image_service.core.bounds import ImageRefusedError, ResultRefusedError
from image_service.core.colour import fitting_profile, for_encoder, for_resampling
from image_service.core.formats import ImageFormat
from image_service.core.inspect import decoding, open_image
from image_service.core.metadata import ORIENTATION_TAG, exif_of_result
from image_service.core.spec import TransformSpec

Report = Callable[[int], None]
"""Told the percentage done, in ever larger numbers."""

_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow hands libwebp's error through by number: 1 out of memory, 6 partition overflow.
_WEBP_OVERFLOWS: Final = frozenset({"encoding error 1", "encoding error 6", ""})
_TOO_MUCH_FOR_WEBP: Final = "the result is too large for a WebP file; choose another format"
_TOO_LONG_A_FRAME: Final = "a frame is shown longer than the format can say; choose another format"
# In milliseconds: 16 bits of hundredths; 24 bits (RFC 9649, section 2.7.1.1); 16 bits of seconds.
_LONGEST_FRAME_MS: Final = {
    ImageFormat.GIF: 655_350,
    ImageFormat.WEBP: 16_777_215,
    ImageFormat.PNG: 65_535_000,
}
# Of repetitions in GIF, of plays in the others.
_MOST_LOOPS: Final = {
    ImageFormat.GIF: 65_535,
    ImageFormat.WEBP: 65_535,
    ImageFormat.PNG: 2**31 - 1,
}
# Shares of the work, in per cent. Reading is quick; making and writing the result are not.
_READ: Final = 10
_ENLARGED: Final = 50
_GIF_RESTORE_BACKGROUND: Final = 2
# Level 6 takes four times as long for a result a tenth smaller; WebP methods are alike.
_PNG_LEVEL: Final = 2
_WEBP_METHOD: Final = 2


class _Options(TypedDict, total=False):
    """What Pillow's encoders are told."""

    quality: int
    method: int
    compress_level: int
    icc_profile: bytes
    exif: bytes
    save_all: bool
    append_images: list[Image.Image]
    duration: list[int]
    loop: int
    disposal: int


@dataclass(frozen=True, slots=True)
class _Animation:
    """How an animation plays. `plays` is 0 for endless."""

    durations_ms: list[int]
    plays: int


class _Progress:
    """Tells only what is new: an animation's frames are many, and per cents few."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told = 0

    def reach(self, percent: int) -> None:
        if percent > self._told:
            self._told = percent
            self._report(percent)


def transform(source: Path, target: Path, spec: TransformSpec, report: Report) -> None:
    """Enlarge `source` as `spec` says and write it to `target`.

    The picture is turned as its EXIF orientation asks; a colour profile that describes the
    output is kept, other metadata only as far as `spec` says.

    Raises:
        ImageRefusedError: the file does not decode.
        ResultRefusedError: the enlarged image does not fit into the format.
    """
    progress = _Progress(report)
    with decoding(), open_image(source) as image:
        profile = claims.colour_profile(image.info)
        frames, animation = _enlarged(image, spec, progress)
        exif = exif_of_result(image, frames[0].size) if spec.keep_metadata else b""
    options = _encoder_options(spec)
    if exif:
        options["exif"] = exif
    kept = fitting_profile(profile, frames[0].mode)
    if kept is not None and spec.format is not ImageFormat.GIF:
        options["icc_profile"] = kept
    if len(frames) > 1:
        options.update(_animation_options(spec.format, frames, animation))
    _save(frames[0], target, spec.format, options)
    progress.reach(100)


def _enlarged(
    image: Image.Image, spec: TransformSpec, progress: _Progress
) -> tuple[list[Image.Image], _Animation]:
    claims.mend_transparency(image)
    canvas = image.size
    orientation = _orientation(image)
    plays = _plays(image)
    with _damage_refused():
        total = _frame_count(image, spec.format)
    frames: list[Image.Image] = []
    durations_ms: list[int] = []
    for frame in _decoded(image, total):
        progress.reach((_ENLARGED * len(frames) + _READ) // total)
        durations_ms.append(claims.duration_ms(frame.info))
        claims.check_transparency(frame)
        frames.append(_enlarge(_within(frame, canvas), orientation, spec))
        progress.reach(_ENLARGED * len(frames) // total)
    return frames, _Animation(durations_ms, plays)


def _frame_count(image: Image.Image, target: ImageFormat) -> int:
    return getattr(image, "n_frames", 1) if target.animates and image.format != "MPO" else 1


def _decoded(image: Image.Image, total: int) -> Iterator[Image.Image]:
    frames = ImageSequence.Iterator(image)
    for _ in range(total):
        with _damage_refused():
            frame = next(frames)
            frame.load()
        yield frame


@contextmanager
def _damage_refused() -> Iterator[None]:
    """As in the inspection, which leaves out what it cannot afford of very many frames."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ImageRefusedError("The image is damaged or truncated.") from error


def _within(frame: Image.Image, canvas: tuple[int, int]) -> Image.Image:
    """The part on the canvas: Pillow enlarges a GIF's picture when a frame reaches beyond it."""
    return frame if frame.size == canvas else frame.crop((0, 0, *canvas))


def _enlarge(frame: Image.Image, orientation: int, spec: TransformSpec) -> Image.Image:
    prepared = for_resampling(frame)
    if orientation in _TRANSPOSITIONS:
        prepared = prepared.transpose(_TRANSPOSITIONS[orientation])
    size = (prepared.width * spec.scale, prepared.height * spec.scale)
    # Pillow resamples premultiplied alpha, so that hidden colours do not bleed into edges.
    enlarged = prepared.resize(size, Image.Resampling.LANCZOS)
    finished = for_encoder(enlarged, spec.format)
    # Encoders write comments, resolution and transparency found here: nothing may be left.
    finished.info.clear()
    return finished


def _save(first: Image.Image, target: Path, form: ImageFormat, options: _Options) -> None:
    try:
        first.save(target, form.value, **options)
    except OverflowError as error:
        # Frames that do not differ are merged, with the sum of their times.
        raise ResultRefusedError(_TOO_LONG_A_FRAME) from error
    except (ValueError, MemoryError) as error:
        # WebP keeps the modes of all blocks in one partition of 512 KiB at most, and takes 30
        # bytes a pixel to pack transparency: the largest pictures may not fit.
        if form is ImageFormat.WEBP and str(error) in _WEBP_OVERFLOWS:
            raise ResultRefusedError(_TOO_MUCH_FOR_WEBP) from error
        raise


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - EXIF is foreign data; a broken block turns nothing
        return 1


def _plays(image: Image.Image) -> int:
    """How often the animation plays: GIF counts repetitions after the first, the others plays."""
    loop = claims.loops(image.info)
    if image.format != "GIF":
        return loop or 0
    if loop is None:
        return 1
    return loop + 1 if loop else 0


def _encoder_options(spec: TransformSpec) -> _Options:
    match spec.format:
        case ImageFormat.JPEG:
            return {"quality": spec.quality}
        case ImageFormat.WEBP:
            return {"quality": spec.quality, "method": _WEBP_METHOD}
        case ImageFormat.PNG:
            return {"compress_level": _PNG_LEVEL}
        case ImageFormat.GIF:
            return {}


def _animation_options(
    target: ImageFormat, frames: list[Image.Image], animation: _Animation
) -> _Options:
    if max(animation.durations_ms) > _LONGEST_FRAME_MS[target]:
        raise ResultRefusedError(_TOO_LONG_A_FRAME)
    options: _Options = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": animation.durations_ms,
    }
    most = _MOST_LOOPS[target]
    if target is not ImageFormat.GIF:
        return options | _Options(loop=min(animation.plays, most))
    # Each frame is the whole picture: without clearing, a pixel could not turn transparent again.
    options["disposal"] = _GIF_RESTORE_BACKGROUND
    if animation.plays != 1:
        options["loop"] = min(max(animation.plays - 1, 0), most)
    return options
