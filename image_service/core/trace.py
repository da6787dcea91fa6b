"""Which trace a request or a job belongs to: `traceparent` of W3C Trace Context, version 00."""

import re
from dataclasses import dataclass
from typing import Final

_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span that others may be in: lower-case hexadecimal ids, neither of them all zero."""

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse(text: str) -> TraceContext | None:
    """Read a `traceparent`; a malformed one is none."""
    found = _PARENT.fullmatch(text)
    if found is None:
        return None
    return TraceContext(found[1], found[2], sampled=bool(int(found[3], 16) & _SAMPLED))
