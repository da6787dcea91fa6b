import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.core.limit_list import Limit, parse_limits

_names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
_counts = st.integers(0, 10**15 - 1)
_limits = st.builds(Limit, _names, _counts, _counts, _counts, _counts)


def _written(limit: Limit) -> str:
    name = limit.name.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'"{name}";q={limit.limit};r={limit.remaining}'
        f";w={limit.window_seconds};t={limit.reset_seconds}"
    )


def test_the_sidecars_own_form_is_read() -> None:
    """The documented header gives both limits with all their numbers."""
    text = '"per-minute";q=10;r=9;w=60;t=60, "per-day";q=500;r=499;w=86400;t=3600'
    assert parse_limits(text) == (
        Limit("per-minute", 10, 9, 60, 60),
        Limit("per-day", 500, 499, 86400, 3600),
    )


def test_no_header_means_no_limits() -> None:
    """Nothing is an empty list, as RFC 9651 has it."""
    assert parse_limits("") == ()


@given(st.lists(_limits, max_size=5), st.sampled_from([",", ", ", "\t,  "]))
def test_what_is_written_is_read_back(limits: list[Limit], comma: str) -> None:
    """Any names and counts survive the header."""
    assert parse_limits(comma.join(map(_written, limits))) == tuple(limits)


@given(_limits, st.permutations(["q=1", "r=2", "w=3", "t=4", "x=9"]))
def test_order_and_unknown_parameters_do_not_matter(limit: Limit, order: list[str]) -> None:
    """Parameters are a map; a newer sidecar may add some."""
    name = _written(limit).rpartition(";q=")[0]
    text = name + "".join(f"; {parameter}" for parameter in order)
    assert parse_limits(text) == (Limit(limit.name, 1, 2, 3, 4),)


@pytest.mark.parametrize(
    "text",
    [
        "per-minute;q=1;r=1;w=1;t=1",
        '"a"',
        '"a";q=1;r=1;w=1',
        '"a";q=1;q=1;r=1;w=1;t=1',
        '"a";q=-1;r=1;w=1;t=1',
        '"a";q=1.5;r=1;w=1;t=1',
        '"a";q=1234567890123456;r=1;w=1;t=1',
        '"a";q=1;r=1;w=1;t=1,',
        ',"a";q=1;r=1;w=1;t=1',
        '"a";q=1;r=1;w=1;t=1 "b";q=1;r=1;w=1;t=1',
        '"a\\n";q=1;r=1;w=1;t=1',
        '"ä";q=1;r=1;w=1;t=1',
        '"a";q=\u0661;r=1;w=1;t=1',
        '"a;q=1;r=1;w=1;t=1',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """A list that is not to the letter is not a list."""
    with pytest.raises(ValueError, match=r"limit|list"):
        parse_limits(text)


@given(st.text(max_size=80) | st.from_regex(r'("[a-z"\\]*";[qrwt]=[0-9,;]*)+'))
def test_foreign_text_raises_nothing_else(text: str) -> None:
    """Whatever comes, the answer is limits or `ValueError`."""
    try:
        parse_limits(text)
    except ValueError:
        return
