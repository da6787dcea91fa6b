"""The sidecar's identity headers → who is calling.

The service trusts them because it listens where only the sidecar's Envoy reaches it, and Envoy
removes a client's own `x-authz-*` headers. A request without them did not pass that way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from image_service.core.limit_list import Limit, parse_limits
from image_service.errors import UnauthenticatedException

BODY_OVERHEAD_BYTES: Final = 64 * 1024
"""What the form around the file may add; Envoy's own body limit adds the same."""

_BYTES: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, by which means, and what is theirs to use."""

    subject: str
    tier: str
    method: str
    key_id: str | None
    max_file_bytes: int
    limits: tuple[Limit, ...]

    @property
    def max_body_bytes(self) -> int:
        """The largest request body: the file and the form around it."""
        return self.max_file_bytes + BODY_OVERHEAD_BYTES


def caller_of(headers: Mapping[str, str]) -> Caller:
    """Read the identity.

    Raises:
        UnauthenticatedException: an identity header is missing or malformed.
    """
    try:
        return Caller(
            subject=_present(headers, "x-authz-subject"),
            tier=_present(headers, "x-authz-tier"),
            method=_present(headers, "x-authz-method"),
            key_id=headers.get("x-authz-key-id") or None,
            max_file_bytes=_byte_count(headers, "x-authz-max-upload-bytes"),
            limits=parse_limits(headers.get("x-authz-limits", "")),
        )
    except ValueError as error:
        raise UnauthenticatedException from error


def _present(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise ValueError(f"{name} is missing")
    return value


def _byte_count(headers: Mapping[str, str], name: str) -> int:
    value = _present(headers, name)
    if _BYTES.fullmatch(value) is None:
        raise ValueError(f"{name} is not a number of bytes")
    return int(value)
