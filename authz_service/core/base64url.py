"""Base64url as JOSE writes it (RFC 7515 section 2), and no other way to write the same bytes."""

import base64
import binascii
import re

_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")


def decode(text: bytes) -> bytes | None:
    """The bytes that `text` spells canonically: no padding, no bits left over. Or None."""
    if not _ALPHABET.fullmatch(text):
        return None
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:  # one character alone spells no byte
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == text else None
