"""JSON that could be read in two ways is not read at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.policy.problem import Path
from authz_service.policy.strict_json import RepeatedMemberError, read_json


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a": 1, "a": 1}', ()),
        ('[{}, {"a": 1, "a": 2}]', (1,)),
        ('{"x": [{"y": {"a": 1, "\\u0061": 2}}]}', ("x", 0, "y")),
        ('[{"a": {"b": 1, "b": 2}, "a": 3}]', (0,)),
    ],
)
def test_a_member_that_stands_twice_is_refused_with_the_way_to_it(text: str, path: Path) -> None:
    """Also where one of the two is written with escapes, or hides another repetition."""
    with pytest.raises(RepeatedMemberError) as caught:
        read_json(text)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["", "[", "{]", "[" * 100_000, '{"a": ' * 100_000])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    """However deep it nests."""
    with pytest.raises(ValueError, match=r"Expecting|too deeply"):
        read_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_other_json_is_read_as_it_is(data: object) -> None:
    """Nothing else changes."""
    assert read_json(json.dumps(data)) == data
