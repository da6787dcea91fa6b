"""JSON of strangers, read so that every reader would read the same.

Stricter than JSON (RFC 8259): UTF-8 without a mark, each name once, finite numbers of 64 bits,
few levels. Whatever else comes is no object, and nothing is ever raised.
"""

import json
import math
import re
from typing import cast

MAX_DEPTH = 16

_MAX_INTEGER_DIGITS = 19
_MAX_INTEGER = (1 << 63) - 1
# A backslash takes the next character with it, so that a quoted quote ends no string.
_MARKS = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def read_object(data: bytes) -> dict[str, object] | None:
    """The object that `data` is as a whole, or None."""
    try:
        text = data.decode("utf-8")
        if _may_nest_deeply(text) and _nests_deeply(text):
            return None
        # A mark of byte order is where no value begins, so the decoder refuses it.
        found = cast("object", _DECODER.decode(text))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _may_nest_deeply(text: str) -> bool:
    return text.count("{") + text.count("[") > MAX_DEPTH


def _nests_deeply(text: str) -> bool:
    """Counted before anything recurses: the decoder's RecursionError is no ValueError."""
    depth, quoted = 0, False
    for mark in _MARKS.findall(text):
        if mark == '"':
            quoted = not quoted
        elif quoted or mark[0] == "\\":
            continue
        elif mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_INTEGER_DIGITS or abs(number := int(digits)) > _MAX_INTEGER:
        raise ValueError("an integer is out of range")
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_no_number,
)
