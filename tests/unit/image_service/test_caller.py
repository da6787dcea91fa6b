import pytest

from image_service.caller import Caller, caller_of
from image_service.core.limit_list import Limit
from image_service.errors import UnauthenticatedException
from image_service.testing import identity


def test_the_sidecars_headers_say_who_is_calling() -> None:
    """Every identity header finds its place."""
    headers = {
        **identity("key:alice", tier="pro", max_file_bytes=100),
        "x-authz-key-id": "k1",
        "x-authz-limits": '"per-minute";q=10;r=9;w=60;t=60',
    }
    assert caller_of(headers) == Caller(
        subject="key:alice",
        tier="pro",
        method="api_key",
        key_id="k1",
        max_file_bytes=100,
        limits=(Limit("per-minute", 10, 9, 60, 60),),
    )


def test_a_body_may_be_64_kib_larger_than_its_file() -> None:
    """The form around the file has room; Envoy's limit is the same."""
    assert caller_of(identity(max_file_bytes=1_000)).max_body_bytes == 1_000 + 65_536


@pytest.mark.parametrize("missing", sorted(identity()))
@pytest.mark.parametrize("left", [None, ""])
def test_without_an_identity_nothing_is_served(missing: str, left: str | None) -> None:
    """A request that lacks a header did not pass the sidecar."""
    headers = {name: value for name, value in identity().items() if name != missing}
    if left is not None:
        headers[missing] = left
    with pytest.raises(UnauthenticatedException):
        caller_of(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-authz-max-upload-bytes", "-1"),
        ("x-authz-max-upload-bytes", "5MB"),
        ("x-authz-max-upload-bytes", "1" * 16),
        ("x-authz-limits", "nonsense"),
    ],
)
def test_a_malformed_identity_is_none(name: str, value: str) -> None:
    """The sidecar writes these headers to the letter; nobody else may."""
    with pytest.raises(UnauthenticatedException):
        caller_of({**identity(), name: value})
