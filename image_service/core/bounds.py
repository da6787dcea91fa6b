"""How large an image may be, going in and coming out."""

from dataclasses import dataclass

from image_service.core.formats import ImageFormat

MIN_SIDE = 32
MAX_SIDE = 8_192
MAX_FRAMES = 3_000
MAX_OUTPUT_SIDE = 16_383
"""The largest side a WebP file can have (RFC 9649, section 2.6), kept for all formats."""
MAX_OUTPUT_PIXELS = 268_000_000
SCALES = (2, 4)


class ImageRefusedError(Exception):
    """The bytes are not an image that this service takes; the message may be shown to anyone."""


class ResultRefusedError(Exception):
    """The format cannot hold the result; the message, for the client, says what would help."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an accepted image is, by its content."""

    format: ImageFormat
    width: int
    height: int
    frames: int


def largest_scale(facts: ImageFacts, target: ImageFormat) -> int:
    """The largest allowed scale whose result stays within bounds; 1 when there is none."""
    return max((scale for scale in SCALES if _fits(facts, target, scale)), default=1)


def _fits(facts: ImageFacts, target: ImageFormat, scale: int) -> bool:
    frames = facts.frames if target.animates else 1
    pixels = facts.width * facts.height * scale * scale * frames
    longest = max(facts.width, facts.height) * scale
    return longest <= MAX_OUTPUT_SIDE and pixels <= MAX_OUTPUT_PIXELS
