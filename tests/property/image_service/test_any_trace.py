"""Any text is a trace or none."""

from hypothesis import given
from hypothesis import strategies as st

from image_service.core.trace import TraceContext, parse

TRACES = st.builds(
    TraceContext,
    st.integers(1, 2**128 - 1).map(lambda it: f"{it:032x}"),
    st.integers(1, 2**64 - 1).map(lambda it: f"{it:016x}"),
    st.booleans(),
)


@given(TRACES)
def test_any_trace_comes_back_as_it_was(trace: TraceContext) -> None:
    """Written as W3C has it, and read again."""
    assert parse(str(trace)) == trace


@given(st.text() | TRACES.map(str), st.data())
def test_any_text_is_a_trace_or_none(text: str, data: st.DataObject) -> None:
    """Whatever is changed in it; what is read is written as 55 letters."""
    at = data.draw(st.integers(0, len(text)))
    found = parse(text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :])
    assert found is None or len(str(found)) == 55
