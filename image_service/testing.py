"""Help for tests, shipped with the service: images of every kind, and a clock one can turn.

Nothing but tests imports this.
"""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence

from PIL import Image, ImageCms

from image_service.core.formats import ImageFormat


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The moment it was set to."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Move on."""
        self._now_ms += ms


def identity(
    subject: str = "key:test", *, tier: str = "free", max_file_bytes: int = 5 * 1024 * 1024
) -> Mapping[str, str]:
    """The headers with which a request arrives from the sidecar."""
    return {
        "x-authz-subject": subject,
        "x-authz-tier": tier,
        "x-authz-method": "api_key",
        "x-authz-max-upload-bytes": str(max_file_bytes),
    }


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A picture whose four corners differ, in the given mode."""
    colour = Image.new("RGB", size, (40, 90, 160))
    colour.paste((220, 60, 30), (0, 0, size[0] // 2, size[1] // 2))
    colour.paste((240, 230, 90), (size[0] // 2, size[1] // 2, *size))
    if mode.startswith("I"):
        return colour.convert("L").convert("I").point(lambda value: value * 256).convert(mode)
    if mode in {"RGBA", "LA"}:
        see_through = Image.new("L", size, 255)
        see_through.paste(0, (0, size[1] // 2, size[0] // 2, size[1]))
        colour.putalpha(see_through)
        return colour.convert(mode)
    # Dithering would make a flat picture noisy.
    return colour.quantize(16) if mode == "P" else colour.convert(mode)


def encoded(image: Image.Image, form: ImageFormat = ImageFormat.PNG, **options: object) -> bytes:
    """The image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form.value, **options)
    return buffer.getvalue()


def animation(
    form: ImageFormat,
    durations_ms: Sequence[int] = (40, 80, 120),
    *,
    mode: str = "RGB",
    size: tuple[int, int] = (40, 36),
    options: Mapping[str, int] | None = None,
) -> bytes:
    """An animation whose frames are all different."""
    frames = [picture(mode, size) for _ in durations_ms]
    for number, frame in enumerate(frames):
        frame.paste((0, 255, 0, 255)[: len(frame.getbands())], (number * 4, 0, number * 4 + 8, 8))
    return encoded(
        frames[0],
        form,
        save_all=True,
        append_images=frames[1:],
        duration=list(durations_ms),
        **(options or {}),
    )


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def srgb_profile() -> bytes:
    """A real colour profile for RGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
