"""Request headers a route acts on, read to the letter: Prefer, Range, If-None-Match and friends."""

import re
from dataclasses import dataclass

MAX_WAIT_S = 30

_WAIT = re.compile(r'wait[ \t]*=[ \t]*"?(?P<seconds>[0-9]{1,9})"?[ \t]*(?:;.*)?', re.IGNORECASE)
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(?P<first>[0-9]*)-(?P<last>[0-9]*)[ \t]*", re.IGNORECASE)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MAX_RANGE_DIGITS = 18


def preferred_wait_s(prefer: str) -> int | None:
    """The seconds of `wait` in a `Prefer` header (RFC 7240, section 4.3), 30 at most.

    Preferences are wishes: what cannot be read is passed over. The first `wait` counts, as
    section 2 asks for repeated preferences.
    """
    for preference in prefer.split(","):
        wait = _WAIT.fullmatch(preference.strip())
        if wait is not None:
            return min(int(wait["seconds"]), MAX_WAIT_S)
    return None


def is_idempotency_key(value: str) -> bool:
    """Whether the value is usable as a key: 1 to 255 visible ASCII characters."""
    return _IDEMPOTENCY_KEY.fullmatch(value) is not None


def etag_matches(header: str, etag: str) -> bool:
    """Whether `If-None-Match` names the entity tag, by weak comparison (RFC 9110, 13.1.2)."""
    if header.strip() == "*":
        return True
    return any(candidate.strip().removeprefix("W/") == etag for candidate in header.split(","))


def etag_is_named(header: str, etag: str) -> bool:
    """Whether `If-Match` names the entity tag, by strong comparison (RFC 9110, 13.1.1)."""
    if header.strip() == "*":
        return True
    return any(candidate.strip() == etag for candidate in header.split(","))


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a representation: `length` bytes from `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The `Content-Range` value for this part of `size` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class RangeNotSatisfiableError(Exception):
    """The range lies wholly outside the representation."""


def requested_range(header: str, size: int) -> ByteRange | None:
    """The one byte range asked for; None when the whole representation is the answer.

    A server may ignore `Range` (RFC 9110, section 14.2): several ranges, other units and
    malformed values are ignored.

    Raises:
        RangeNotSatisfiableError: a well-formed range of which no byte exists.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or max(len(found["first"]), len(found["last"])) > _MAX_RANGE_DIGITS:
        return None
    if not found["first"]:
        return _suffix(found["last"], size)
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else size - 1
    if found["last"] and last < first:
        return None
    if first >= size:
        raise RangeNotSatisfiableError
    return ByteRange(first, min(last, size - 1) - first + 1)


def _suffix(digits: str, size: int) -> ByteRange | None:
    if not digits:
        return None
    length = min(int(digits), size)
    if length == 0:
        raise RangeNotSatisfiableError
    return ByteRange(size - length, length)
