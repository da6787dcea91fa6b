"""Does a file end where its format says it ends?

Decoders are content once they have the last pixel of a frame: a file that lost its end, or its
later frames, would pass for a whole one. What stands behind the end does not matter.
"""

import re
import zlib
from typing import Final

from image_service.core.formats import ImageFormat

# A marker that means something: not a stuffed byte of coded data, not a restart, not a filler.
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_JPEG_END: Final = 0xD9
_PNG_SIGNATURE_BYTES: Final = 8
_PNG_AROUND_BYTES: Final = 12
_PNG_END: Final = b"IEND"
_PNG_FRAME_CHUNKS: Final = frozenset({b"fcTL", b"fdAT", b"acTL"})
_RIFF_HEADER_BYTES: Final = 8

_GIF_SCREEN_BYTES: Final = 13
_GIF_IMAGE_BYTES: Final = 10
_GIF_IMAGE: Final = 0x2C
_GIF_EXTENSION: Final = 0x21
_GIF_TRAILER: Final = 0x3B


def is_complete(content: bytes, form: ImageFormat) -> bool:
    """Whether the end of the image is there. `content` has been decoded as `form` before."""
    match form:
        case ImageFormat.JPEG:
            return _jpeg_has_end(content)
        case ImageFormat.PNG:
            return _png_has_end(content)
        case ImageFormat.WEBP:
            declared = int.from_bytes(content[4:_RIFF_HEADER_BYTES], "little")
            return len(content) >= _RIFF_HEADER_BYTES + declared
        case ImageFormat.GIF:
            return _gif_has_trailer(content)


def _jpeg_has_end(content: bytes) -> bool:
    """Walk the segments (ITU T.81, annex B); between them there may be coded data.

    Looking for the end's two bytes alone would find a thumbnail's, or those of what follows.
    """
    position = 2
    while marker := _JPEG_MARKER.search(content, position):
        if content[marker.end() - 1] == _JPEG_END:
            return True
        length = int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
    return False


def _png_has_end(content: bytes) -> bool:
    """Walk the chunks (PNG, section 5.3) to the last one, with the checksums of those that count.

    The decoder does not look at the checksums of pixel data.
    """
    position = _PNG_SIGNATURE_BYTES
    while position + _PNG_AROUND_BYTES <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        end = position + _PNG_AROUND_BYTES + length
        if _counts(kind) and not _has_checksum(content, position + 4, end):
            return False
        if kind == _PNG_END:
            return True
        position = end
    return False


def _counts(kind: bytes) -> bool:
    # A capital first letter marks what is needed to show the image.
    return kind[:1].isupper() or kind in _PNG_FRAME_CHUNKS


def _has_checksum(content: bytes, start: int, end: int) -> bool:
    checksum = zlib.crc32(memoryview(content)[start : max(end - 4, start)])
    return content[end - 4 : end] == checksum.to_bytes(4, "big")


def _gif_has_trailer(content: bytes) -> bool:
    """Walk the blocks (GIF89a, appendix B) up to the trailer."""
    try:
        position = _after_table(content, 10, _GIF_SCREEN_BYTES)
        while (kind := content[position]) != _GIF_TRAILER:
            position = _after_block(content, position, kind)
    except (IndexError, ValueError):
        return False
    return True


def _after_block(content: bytes, position: int, kind: int) -> int:
    if kind == _GIF_IMAGE:
        # The byte before the sub-blocks is the size of the first code.
        after_table = _after_table(content, position + 9, position + _GIF_IMAGE_BYTES)
        return _after_sub_blocks(content, after_table + 1)
    if kind == _GIF_EXTENSION:
        return _after_sub_blocks(content, position + 2)
    raise ValueError("not a block")


def _after_table(content: bytes, flags: int, table: int) -> int:
    """Where a colour table ends that begins at `table`, if the flags say that there is one."""
    packed = content[flags]
    return table + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)


def _after_sub_blocks(content: bytes, position: int) -> int:
    while size := content[position]:
        position += size + 1
    return position + 1
