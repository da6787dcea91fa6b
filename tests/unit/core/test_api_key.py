"""API keys as values."""

import hashlib

from authz_service.core.api_key import digest, is_acceptable


def test_a_key_is_found_by_its_sha256() -> None:
    """The digest is plain SHA-256, so that operators can compute it themselves."""
    assert digest(b"sk-0123456789") == hashlib.sha256(b"sk-0123456789").digest()


def test_exactly_the_visible_characters_without_comma_make_a_key() -> None:
    """Of all bytes, the 93 visible ASCII characters other than the comma are acceptable."""
    accepted = bytes(byte for byte in range(256) if is_acceptable(bytes([byte]) * 8))
    assert accepted == bytes(byte for byte in range(0x21, 0x7F) if byte != ord(","))


def test_a_key_has_8_to_256_characters() -> None:
    """Shorter keys could be guessed and longer ones are no keys."""
    assert [is_acceptable(b"k" * length) for length in (0, 7, 8, 256, 257)] == [
        False,
        False,
        True,
        True,
        False,
    ]
