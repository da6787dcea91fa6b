"""Whatever stands in a file of rate limits, the outcome is rules or a list of problems."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.descriptors.keys import Place
from tests.fuzz.descriptors import target

FILES = Path(__file__).parents[2] / "fixtures" / "descriptors"
TEXTS = [file.read_text() for file in sorted(FILES.glob("*/*.yaml"))]
PIECES = st.one_of(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ": ",
            "- ",
            "&a ",
            "*a ",
            "!!bool ",
            "!x ",
            "|",
            '"',
            "\t",
            "? ",
            "<<: ",
        ]
    ),
    st.sampled_from(
        ["null", "0x" + "F" * 5_000, "9" * 5_000, "1e999", ".nan", '"\\uD800"', "\0", "---\n"]
    ),
    st.text(max_size=5),
)


def holds(text: str) -> None:
    """Anything but rules or problems fails the test."""
    target(text.encode("utf-8", errors="surrogateescape"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example('a: "\\UFFFFFFFF"')
@example('a: "\\U00110000"')
@example('domain: "\\ud800"\ndescriptors: [{key: a, rate_limit: {unit: day}}]')
@example("domain: !!int x")
@example("domain: &a [*a]")
@example("&a {*a: *a}")
@example("? {? {? [a]}}")
@example("a: " * 2_000)
@example("- " * 2_000)
@example("[" * 5_000)
@example("? " * 2_000)
def test_any_text_is_read_or_explained(text: str) -> None:
    """Text that is no file raises ConfigurationError and nothing else."""
    holds(text)


@given(st.sampled_from(TEXTS), st.data())
def test_a_damaged_file_is_read_or_explained(text: str, data: st.DataObject) -> None:
    """A file with a piece cut out and something else put in its place does no worse."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    holds(text[:start] + data.draw(PIECES) + text[end:])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["a", "*", "minute", ""])
)
KEYS = st.sampled_from([key for place in Place for key in place.keys] + ["unknown"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("place", Place)
@given(data=st.data())
def test_any_value_of_any_key_is_read_or_explained(place: Place, data: st.DataObject) -> None:
    """A value of an unexpected type anywhere is a problem, not a crash."""
    value: object = {data.draw(st.sampled_from(place.keys)): data.draw(ANYTHING)}
    if place is Place.REPLACES:
        value = {"replaces": [value]}
    if place in {Place.REPLACES, Place.RATE_LIMIT}:
        value = {"key": "k", "rate_limit": value}
    if place is not Place.FILE:
        value = {"domain": "d", "descriptors": [value]}
    holds(yaml.safe_dump(value))
