"""The image formats that go in and out, by content, and what each can hold."""

from enum import StrEnum


class ImageFormat(StrEnum):
    """A format this service reads and writes; the value is its name in the API."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"

    @property
    def media_type(self) -> str:
        """The registered media type."""
        return f"image/{self.value}"

    @property
    def takes_quality(self) -> bool:
        """Whether `quality` means anything to its encoder."""
        return self in {ImageFormat.JPEG, ImageFormat.WEBP}

    @property
    def holds_exif(self) -> bool:
        """Whether a photograph's metadata has a place in it."""
        return self is not ImageFormat.GIF

    @property
    def animates(self) -> bool:
        """Whether it can hold more than one frame."""
        return self is not ImageFormat.JPEG
