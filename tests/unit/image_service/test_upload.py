from pathlib import Path

import pytest

from image_service.upload import Upload


@pytest.mark.parametrize(
    "fields",
    [{}, {"metadata": "keep"}, {"metadata": "strip"}, {"scale": "4"}, {"format": "png"}],
)
def test_a_fingerprint_is_of_everything_asked_for(fields: dict[str, str]) -> None:
    """The same form has the same one; another wish or another file has another."""
    one = Upload(Path("a"), digest="d", fields=fields)
    assert one.fingerprint == Upload(Path("b"), digest="d", fields=dict(fields)).fingerprint
    assert one.fingerprint != Upload(Path("a"), digest="e", fields=fields).fingerprint
    assert one.fingerprint != Upload(Path("a"), digest="d", fields={"quality": "9"}).fingerprint
    for other in ({"metadata": "keep"}, {"metadata": "strip"}, {}):
        same = other == fields
        assert (Upload(Path("a"), digest="d", fields=other).fingerprint == one.fingerprint) is same
