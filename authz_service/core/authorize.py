"""Stage 2, may they: an identity against what the route asks of its callers."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from authz_service.core.identity import Identity, Method, Network
from authz_service.core.rules import Route
from authz_service.core.verdict import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a known caller may not do this. `needs` are the policy's words for what would do."""

    reason: Reason
    needs: tuple[str, ...] = ()


def authorize(identity: Identity, route: Route, *, client_address: str) -> Refusal | None:
    """None if the caller may use the route.

    An anonymous caller who may not is asked for a credential: that could help.
    """
    refusal = _refusal(identity, route, client_address)
    if refusal is not None and identity.method is Method.ANONYMOUS:
        return Refusal(Reason.MISSING_CREDENTIAL)
    return refusal


def _refusal(identity: Identity, route: Route, client_address: str) -> Refusal | None:
    if identity.networks and not _is_in(client_address, identity.networks):
        return Refusal(Reason.NETWORK_NOT_ALLOWED)
    if route.credentials and identity.method not in route.credentials:
        return Refusal(Reason.CREDENTIAL_NOT_ALLOWED, route.credentials)
    if route.tiers and identity.tier not in route.tiers:
        return Refusal(Reason.TIER_NOT_ALLOWED, route.tiers)
    if route.scopes and not set(route.scopes) <= set(identity.scopes):
        return Refusal(Reason.MISSING_SCOPE, route.scopes)
    return None


def _is_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of the networks. What is no address belongs to none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)
