"""Moments and spans of time as people write them: `2027-01-31T00:00:00Z`, `30d`.

Each function reads one of them and raises ValueError with a sentence that says how to write it.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_SPAN: Final = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# RFC 3339 section 5.6. Python's own reader takes dates without a time and times without an offset.
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_END_MS: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MILLISECOND


def span(text: str) -> int:
    """`24h` in milliseconds."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError("is no span of time; write 90s, 30m, 24h, 30d or 2w")
    return int(found[1]) * _UNIT_MS[found[2]]


def moment(text: str, *, now_ms: int) -> int:
    """A moment in epoch milliseconds, from RFC 3339 or a span that begins now."""
    at_ms = now_ms + span(text) if _SPAN.fullmatch(text) else _rfc_3339(text)
    if not is_moment(at_ms):
        raise ValueError("must be between the years 1970 and 9999")
    return at_ms


def is_moment(at_ms: int) -> bool:
    """Whether epoch milliseconds can be spelled as a moment."""
    return 0 <= at_ms < _END_MS


def _rfc_3339(text: str) -> int:
    sentence = "is no moment; write 2027-01-31T00:00:00Z, or 30d for 30 days from now"
    if not _MOMENT.fullmatch(text):
        raise ValueError(sentence)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:  # the 30th of February
        raise ValueError(sentence) from None
    return (parsed - _EPOCH) // _MILLISECOND


def spell_moment(at_ms: int) -> str:
    """Epoch milliseconds as RFC 3339 in UTC; without a fraction where there is none."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    precision = "milliseconds" if at_ms % 1_000 else "seconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def spell_span(span_ms: int) -> str:
    """A span in its largest unit, rounded down: `3d`, `45s`."""
    units = [unit for unit in ("d", "h", "m", "s") if span_ms >= _UNIT_MS[unit]]
    unit = units[0] if units else "s"
    return f"{span_ms // _UNIT_MS[unit]}{unit}"
