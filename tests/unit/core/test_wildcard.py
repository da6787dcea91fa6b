"""Patterns with stars."""

import pytest

from authz_service.core.wildcard import wildcard


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("path_*", "path_", True),
        ("path_*", "path_/a/b", True),
        ("path_*", "path", False),
        ("*", "", True),
        ("*_end", "the_end", True),
        ("*_end", "the_end_", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*bc*c", "abc", False),
        ("*b*a*", "bab", True),
        ("aa*aa", "aaa", False),
        ("aa*aa", "aaaa", True),
        ("a**b", "ab", True),
        ("A*", "a", False),
        ("a.*", "ab", False),
        ("a*c", "a\nc", True),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, text: str, *, fits: bool) -> None:
    """Everything between stars is met in order, without overlap, and to the last character."""
    found = wildcard(pattern)
    assert found
    assert found.matches(text) is fits


def test_a_text_without_a_star_is_no_pattern() -> None:
    """It is compared as it is, which is faster."""
    assert wildcard("path_a") is None
