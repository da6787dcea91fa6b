"""What a key may have of its own, from the notation of policies and of CIDR to values.

Many keys have the same, and then they share the values.
"""

import ipaddress
from functools import lru_cache
from typing import Final

from authz_service.core.identity import Network
from authz_service.core.rules import Overrides, Rate
from authz_service.policy import notation

_SHARED: Final = 1024
_NO_NETWORK: Final = "is no network; write 203.0.113.0/24, with nothing set behind the prefix"


@lru_cache(maxsize=_SHARED)
def overrides(rate: str | None, quota: str | None) -> Overrides | None:
    """Limits of a key's own; None where it has none.

    Raises:
        ValueError: one of them is not in the notation of policies.
    """
    if rate is None and quota is None:
        return None
    return Overrides(
        rate=None if rate is None else _rate(rate),
        quota=None if quota is None else notation.quota(quota),
    )


@lru_cache(maxsize=_SHARED)
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks a key may be used from.

    Raises:
        ValueError: one of them is no network.
    """
    return tuple(_network(text) for text in texts)


def rate_text(text: str) -> str:
    """A rate as it is written.

    Raises:
        ValueError: it is none.
    """
    notation.rate(text)
    return text


def quota_text(text: str) -> str:
    """A quota as it is written.

    Raises:
        ValueError: it is none.
    """
    notation.quota(text)
    return text


def _rate(text: str) -> Rate:
    name, limit, window_ms = notation.rate(text)
    return Rate(name=name, limit=limit, window_ms=window_ms)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network("" if "%" in text else text)  # a zone would match nothing
    except ValueError:
        raise ValueError(_NO_NETWORK) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(_NO_NETWORK)  # mapped addresses are compared in their IPv4 form
    return network
