import math

import pytest
from PIL import Image

from image_service.core import claims


@pytest.mark.parametrize(
    ("claimed", "told"),
    [(40, 40), (33.4, 33), (0, 0), (-7, 0), ("40", 0), (None, 0), (math.inf, 0), (math.nan, 0)],
)
def test_a_duration_is_a_sensible_number_or_nothing(claimed: object, told: int) -> None:
    """Text under the same name, and numbers no clock knows, count as no time."""
    assert claims.duration_ms({"duration": claimed}) == told
    assert claims.duration_ms({}) == 0


@pytest.mark.parametrize(("claimed", "told"), [(3, 3), (0, 0), ("3", None), (b"3", None)])
def test_repetitions_are_a_number_or_nothing(claimed: object, told: int | None) -> None:
    """A PNG may bring a text called loop."""
    assert claims.loops({"loop": claimed}) == told


def test_a_profile_is_bytes_or_nothing() -> None:
    """A PNG may bring a text called icc_profile."""
    assert claims.colour_profile({"icc_profile": b"abc"}) == b"abc"
    assert claims.colour_profile({"icc_profile": "abc"}) is None


@pytest.mark.parametrize(
    ("mode", "claimed", "is_kept"),
    [
        ("1", 1, True),
        ("L", 17, True),
        ("P", 3, True),
        ("I;16", 40_000, True),
        ("RGB", (1, 2, 3), True),
        ("P", b"\0\xff", True),
        ("RGB", 3, False),
        ("L", b"\0", False),
        ("RGBA", (1, 2, 3), False),
        ("RGB", (1, 2), False),
        ("RGB", (1, 2, "3"), False),
        ("L", "white", False),
    ],
)
def test_a_transparent_colour_is_one_for_such_pixels(
    mode: str, claimed: object, *, is_kept: bool
) -> None:
    """Anything else under that name is dropped before it can confuse a conversion."""
    frame = Image.new(mode, (1, 1))
    frame.info["transparency"] = claimed
    claims.check_transparency(frame)
    assert ("transparency" in frame.info) is is_kept
