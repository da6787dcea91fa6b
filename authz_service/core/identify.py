"""Stage 1, who is this: the presented credential and its record to an identity or a refusal.

An invalid credential is refused even where none was asked for: it never turns into anonymous.
"""

import ipaddress
from typing import Protocol, assert_never

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.credential import ApiKey, BearerToken, Malformed, NoCredential, Presented
from authz_service.core.facts import Facts
from authz_service.core.identity import Identity, Method
from authz_service.core.rules import Authentication, Route
from authz_service.core.verdict import Reason

ANONYMOUS_TIER = "anonymous"


class Credentials(Protocol):
    """Everything by which callers are known. Answers from memory: nothing here waits."""

    @property
    def accepts_tokens(self) -> bool:
        """Whether any bearer token could be believed."""

    def find_key(self, key: bytes) -> ApiKeyRecord | Reason:
        """The record of a presented API key, or why there is none."""

    def verify_token(self, token: bytes, now_ms: int) -> Identity | Reason:
        """Whom a bearer token speaks for at `now_ms` (epoch), or why it is not believed."""


def identify(
    presented: Presented, *, facts: Facts, route: Route, credentials: Credentials, now_ms: int
) -> Identity | Reason:
    """The caller's identity, or the reason there is none."""
    match presented:
        case ApiKey(value):
            return _key_holder(credentials.find_key(value), now_ms)
        case NoCredential():
            return _anonymous(facts.client_address, route)
        case Malformed(reason):
            return reason
        case BearerToken(value):
            return credentials.verify_token(value, now_ms)
        case _:
            assert_never(presented)


def _key_holder(record: ApiKeyRecord | Reason, now_ms: int) -> Identity | Reason:
    if isinstance(record, Reason):
        return record
    if record.disabled:
        return Reason.DISABLED_KEY
    if record.expires_at_ms is not None and now_ms >= record.expires_at_ms:
        return Reason.EXPIRED_KEY
    return Identity(
        subject=f"key:{record.subject}",
        tier=record.tier,
        method=Method.API_KEY,
        key_id=record.id,
        scopes=record.scopes,
        overrides=record.overrides,
        networks=record.networks,
    )


def _anonymous(client_address: str, route: Route) -> Identity | Reason:
    if route.authentication is Authentication.REQUIRED:
        return Reason.MISSING_CREDENTIAL
    network = client_network(client_address)
    if network is None:
        return Reason.NO_CLIENT_ADDRESS
    return _of_network(network)


def anonymous(facts: Facts) -> Identity:
    """The caller as nobody in particular, whatever was presented: for routes that only watch."""
    return _of_network(client_network(facts.client_address) or "unknown")


def _of_network(network: str) -> Identity:
    return Identity(subject=f"anon:{network}", tier=ANONYMOUS_TIER, method=Method.ANONYMOUS)


def client_network(address: str) -> str | None:
    """The address an anonymous caller is counted by: IPv4 whole, IPv6 by its /64 network.

    One household or host commonly owns a whole /64 (RFC 6177), so counting single IPv6
    addresses would count nothing. None if this is no address.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"
