import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_service.core.headers import (
    ByteRange,
    RangeNotSatisfiableError,
    etag_is_named,
    etag_matches,
    is_idempotency_key,
    preferred_wait_s,
    requested_range,
)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("Wait = 5", 5),
        ('wait="7"', 7),
        ("respond-async, wait=3", 3),
        ("wait=4; foo=bar", 4),
        ("wait=31", 30),
        ("wait=999999999", 30),
        ("wait=0", 0),
        ("wait=1, wait=9", 1),
        ("", None),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=ten", None),
        ("nowait=5", None),
        ("wait=99999999999999999999", None),
    ],
)
def test_wait_is_read_and_capped(prefer: str, seconds: int | None) -> None:
    """The wish counts up to 30 seconds; what cannot be read is no wish."""
    assert preferred_wait_s(prefer) == seconds


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("a", True),
        ('"quoted"', True),
        ("x" * 255, True),
        ("", False),
        ("x" * 256, False),
        ("a b", False),
        ("ä", False),
        ("a\tb", False),
    ],
)
def test_an_idempotency_key_is_visible_ascii(value: str, usable: bool) -> None:  # noqa: FBT001
    """1 to 255 letters that can be seen."""
    assert is_idempotency_key(value) is usable


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"x", "a"', True),
        ("*", True),
        ('"x"', False),
        ("a", False),
        ("", False),
    ],
)
def test_etags_compare_weakly(header: str, matches: bool) -> None:  # noqa: FBT001
    """Any of the listed tags matches, weak or not; the star matches all."""
    assert etag_matches(header, '"a"') is matches


@pytest.mark.parametrize(
    ("header", "named"),
    [('"a"', True), ('"b", "a"', True), (" * ", True), ('W/"a"', False), ("a", False), ("", False)],
)
def test_a_weak_tag_names_nothing(header: str, named: bool) -> None:  # noqa: FBT001
    """What must be the very same is compared strongly."""
    assert etag_is_named(header, '"a"') is named


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=90-", ByteRange(90, 10)),
        ("bytes=90-1000", ByteRange(90, 10)),
        ("bytes=-10", ByteRange(90, 10)),
        ("bytes=-1000", ByteRange(0, 100)),
        ("Bytes = 99-99", ByteRange(99, 1)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
        ("bytes=0-9999999999999999999", None),
    ],
)
def test_one_byte_range_is_served(header: str, expected: ByteRange | None) -> None:
    """A single well-formed range counts; everything else means the whole."""
    assert requested_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_beyond_the_end_is_not_satisfiable(header: str) -> None:
    """No byte to give is an error, not an empty answer."""
    with pytest.raises(RangeNotSatisfiableError):
        requested_range(header, 100)


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]*-[0-9]*"), st.integers(1, 10**9))
def test_every_range_lies_inside(header: str, size: int) -> None:
    """Whatever is asked for, what is served exists."""
    try:
        part = requested_range(header, size)
    except RangeNotSatisfiableError:
        return
    assert part is None or (0 <= part.start < part.start + part.length <= size)


def test_content_range_counts_inclusively() -> None:
    """The last position is named, not the one after it."""
    assert ByteRange(90, 10).content_range(100) == "bytes 90-99/100"
