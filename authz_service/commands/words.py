"""Limits, sizes and times as people read them, in the notation of policies where it has one."""

from collections.abc import Sequence

from authz_service.core.hits import Fixed
from authz_service.core.rules import Limit, Quota

_UNITS_MS = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1_000}
_SHORT = {"d": 86_400, "h": 3_600, "min": 60}
_SIZES = {"MB": 1 << 20, "KiB": 1 << 10}


def limit_in_words(limit: Limit | Fixed) -> str:
    """`10/minute`, `5 per 10s`, `500/day`."""
    if isinstance(limit, Quota):
        return f"{limit.limit}/{limit.period}"
    for name, unit_ms in _UNITS_MS.items():
        if limit.window_ms == unit_ms:
            return f"{limit.limit}/{name}"
        if limit.window_ms % unit_ms == 0:
            return f"{limit.limit} per {limit.window_ms // unit_ms}{name[0]}"
    return f"{limit.limit} per {limit.window_ms}ms"


def size_in_words(size: int) -> str:
    """`5MB`, `64KiB`, `100B`."""
    for name, unit in _SIZES.items():
        if size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def time_in_words(seconds: int) -> str:
    """`42 s`, `12 min`, `5 h`, `3 d`: rounded up."""
    for name, unit in _SHORT.items():
        if seconds >= 2 * unit:
            return f"{-(-seconds // unit)} {name}"
    return f"{seconds} s"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
