"""The trace of a request, whatever its headers hold."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.core.trace_context import TraceContext, trace_context, trace_id
from authz_service.testing import builders

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "b7ad6b7169203331"
W3C = f"00-{TRACE}-{PARENT}-01"

NUMBERS = st.integers(1, (1 << 128) - 1)
SPANS = st.integers(1, (1 << 64) - 1)
NEARLY = st.from_regex(r"[0-9a-f]{1,3}[-/;]?[0-9a-fA-F]{31,33}[-/;]?[0-9a-f]{15,17}.{0,4}")
HEADERS = st.text() | NEARLY


@given(HEADERS, HEADERS)
@example("00-" + "1" * 100_000, "1" * 100_000)
@example("", "\u0661" * 32)
def test_any_text_is_a_trace_or_none(traceparent: str, cloud: str) -> None:
    """Nothing raises; an id is 32 lower-case hexadecimal digits that are not all zero, or empty."""
    found = trace_id(builders.facts(traceparent=traceparent, cloud_trace=cloud))
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}|", found)


@given(NUMBERS, SPANS, st.booleans())
def test_a_traceparent_is_read_as_it_was_written(trace: int, span: int, sampled: bool) -> None:  # noqa: FBT001 - drawn
    """W3C Trace Context section 3.2: version, trace, parent, flags."""
    expected = TraceContext(f"{trace:032x}", f"{span:016x}", sampled)
    header = f"00-{expected.trace_id}-{expected.parent_id}-{int(sampled):02x}"
    assert trace_context(builders.facts(traceparent=header)) == expected


@given(NUMBERS, SPANS, st.booleans())
def test_a_cloud_trace_is_read_as_it_was_written(trace: int, span: int, sampled: bool) -> None:  # noqa: FBT001 - drawn
    """`TRACE_ID/SPAN_ID;o=OPTIONS`, the span in decimal, the trace in either case."""
    expected = TraceContext(f"{trace:032x}", f"{span:016x}", sampled)
    header = f"{expected.trace_id.upper()}/{span};o={int(sampled)}"
    assert trace_context(builders.facts(cloud_trace=header)) == expected


@pytest.mark.parametrize(
    ("traceparent", "is_read"),
    [
        (W3C, True),
        (W3C[:-2] + "ff", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-may-come", True),
        (f"cc-{TRACE}-{PARENT}-01.what-may-not", False),
        (f"{W3C}-more", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (W3C.upper(), False),
        (f" {W3C}", False),
        (f"{W3C}\n", False),
        (W3C[:-1], False),
        (f"{W3C},{W3C}", False),
        ("", False),
    ],
)
def test_versions_and_mistakes(traceparent: str, is_read: bool) -> None:  # noqa: FBT001 - a row
    """A later version is read as far as it is known; whatever breaks the form is no trace."""
    found = trace_id(builders.facts(traceparent=traceparent))
    assert found == (TRACE if is_read else "")


@pytest.mark.parametrize(
    ("cloud", "expected"),
    [
        (OTHER, OTHER),
        (f"{OTHER}/1", OTHER),
        (f"{OTHER};o=1", OTHER),
        (f"{OTHER}/99999999999999999999;o=1", OTHER),
        ("", TRACE),
        ("nonsense/1", TRACE),
        (f"{'0' * 32}/1", TRACE),
        (f"{OTHER}0/1", TRACE),
        (f"{OTHER}/1,{OTHER}/1", TRACE),
    ],
)
def test_the_cloud_header_comes_first(cloud: str, expected: str) -> None:
    """As in Envoy's access line; the other one counts where this one is none."""
    assert trace_id(builders.facts(traceparent=W3C, cloud_trace=cloud)) == expected
