"""Who is calling, once that is known."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from authz_service.core.rules import Overrides

Network = IPv4Network | IPv6Network


class Method(StrEnum):
    """How a caller proved who they are."""

    API_KEY = "api_key"
    JWT = "jwt"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller. `subject` carries our own prefix (`key:`, `jwt:`, `anon:`): it cannot be forged.

    Counters belong to the subject, so two keys of one subject share their limits. `overrides` are
    limits of this caller's own, in place of the tier's. `networks` are where the credential may be
    used from; none means anywhere.
    """

    subject: str
    tier: str
    method: Method
    key_id: str = ""
    scopes: tuple[str, ...] = ()
    overrides: Overrides | None = None
    networks: tuple[Network, ...] = ()
