"""Which trace a request belongs to, as its headers say: a claim of the client's, for logs alone.

Two headers are read, in the order of Envoy's access line: `X-Cloud-Trace-Context`, as Google's load
balancers send it, then `traceparent` (W3C Trace Context section 3.2). A malformed one is none.
"""

import re
from dataclasses import dataclass
from typing import Final

from authz_service.core.facts import Facts

# TRACE_ID[/SPAN_ID][;o=OPTIONS]: the span in decimal.
_CLOUD: Final = re.compile(
    r"(?!0{32})(?P<trace>[0-9a-fA-F]{32})(?:/(?P<span>[0-9]{1,20}))?(?:;o=(?P<options>[0-9]{1,3}))?"
)
_W3C: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?!0{32})(?P<trace>[0-9a-f]{32})"
    r"-(?!0{16})(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.DOTALL,
)
_FIRST_VERSION: Final = "00"  # it ends with the flags; later ones may go on
_SAMPLED: Final = 1  # the lowest bit, in either header
_SPAN_IDS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace of a request. `trace_id` is 32 lower-case hexadecimal digits, not all zero.

    `parent_id` is the span that sent the request, 16 such digits, or empty where none is named.
    """

    trace_id: str
    parent_id: str
    sampled: bool


def trace_context(facts: Facts) -> TraceContext | None:
    """The trace that the request belongs to, None where no header names one."""
    return _of_cloud(facts.cloud_trace) or of_traceparent(facts.traceparent)


def trace_id(facts: Facts) -> str:
    """The id of the trace that the request belongs to, empty where no header names one."""
    found = trace_context(facts)
    return "" if found is None else found.trace_id


def _of_cloud(header: str) -> TraceContext | None:
    found = _CLOUD.fullmatch(header)
    if found is None:
        return None
    span = int(found["span"] or 0)
    return TraceContext(
        trace_id=found["trace"].lower(),
        parent_id=f"{span:016x}" if 0 < span < _SPAN_IDS else "",
        sampled=bool(int(found["options"] or 0) & _SAMPLED),
    )


def of_traceparent(header: str) -> TraceContext | None:
    """The trace that a `traceparent` names, None where it is malformed."""
    found = _W3C.fullmatch(header)
    if found is None or (found["version"] == _FIRST_VERSION and found["rest"]):
        return None
    return TraceContext(
        trace_id=found["trace"],
        parent_id=found["parent"],
        sampled=bool(int(found["flags"], 16) & _SAMPLED),
    )
