"""Does a file end where its format says it ends?

Decoders are content once they have the last pixel of a frame: a file that lost its end, or its
later frames, would pass for a whole one. What stands behind the end does not matter.
"""

from typing import Final

from image_service.core.formats import ImageFormat

_JPEG_SCAN: Final = b"\xff\xda"
_JPEG_END: Final = b"\xff\xd9"
_PNG_END: Final = b"\0\0\0\0IEND\xae\x42\x60\x82"
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
            # Coded data never holds the mark: the last scan's beginning is the last there is.
            return content.find(_JPEG_END, content.rfind(_JPEG_SCAN)) >= 0
        case ImageFormat.PNG:
            return _PNG_END in content
        case ImageFormat.WEBP:
            declared = int.from_bytes(content[4:_RIFF_HEADER_BYTES], "little")
            return len(content) >= _RIFF_HEADER_BYTES + declared
        case ImageFormat.GIF:
            return _gif_has_trailer(content)


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
