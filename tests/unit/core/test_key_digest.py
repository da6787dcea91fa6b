"""What a key is found by."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.key_digest import (
    Pepper,
    digest,
    digests,
    pepper_id,
    read_digest,
    spell_digest,
)

KEY = b"sk-0123456789"
PEPPER = Pepper(b"canary-pepper-0123456789-0123456789")
OTHER = Pepper(b"another-pepper-0123456789-0123456789")


def test_without_a_pepper_it_is_the_sha256() -> None:
    """Plain SHA-256, so that operators can compute it themselves."""
    assert digest(KEY) == hashlib.sha256(KEY).digest()
    assert spell_digest(digest(KEY)) == f"sha256:{hashlib.sha256(KEY).hexdigest()}"


def test_with_a_pepper_it_is_an_hmac_that_names_the_pepper() -> None:
    """HMAC-SHA-256 keyed with the pepper, the pepper's id before it."""
    expected = hmac.new(PEPPER.secret, KEY, "sha256").hexdigest()
    assert spell_digest(digest(KEY, PEPPER)) == f"hmac-sha256:{PEPPER.id}:{expected}"


def test_the_id_of_a_pepper_never_changes() -> None:
    """Stored digests name it: 8 hex digits of SHA-256 over a label and the pepper."""
    labelled = hashlib.sha256(b"authz_service pepper id\0" + PEPPER.secret)
    assert PEPPER.id == labelled.hexdigest()[:8] == "5f0e1485"


def test_a_key_has_one_digest_and_one_more_a_pepper() -> None:
    """Never more: this is what a look-up costs."""
    found = digests(KEY, [PEPPER, OTHER])
    assert found == [digest(KEY), digest(KEY, PEPPER), digest(KEY, OTHER)]
    assert [pepper_id(one) for one in found] == ["", PEPPER.id, OTHER.id]


@given(st.binary(min_size=32, max_size=32) | st.binary(min_size=36, max_size=36))
def test_a_digest_survives_being_text(value: bytes) -> None:
    """There and back is the same."""
    assert read_digest(spell_digest(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 64,
        "sha256:",
        f"sha256:{'a' * 63}",
        f"sha256:{'A' * 64}",
        f"sha256:{'a' * 64}\n",
        f"sha512:{'a' * 64}",
        f"hmac-sha256:{'a' * 64}",
        f"hmac-sha256:{'a' * 7}:{'a' * 64}",
        f"hmac-sha256:{'a' * 8}:{'a' * 63}",
        f"sha256:{'a' * 8}:{'a' * 64}",
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    """One form, to the character."""
    with pytest.raises(ValueError, match="is no digest"):
        read_digest(text)


def test_a_pepper_is_not_shown() -> None:
    """Not where values are printed."""
    assert "canary" not in repr(PEPPER)
