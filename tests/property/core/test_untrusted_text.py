"""Whatever a client sends, the first stages answer with a value."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.credential import ApiKey, BearerToken, Malformed, NoCredential, present
from authz_service.core.identify import client_network
from authz_service.testing.builders import facts


@given(st.text(), st.lists(st.binary(), max_size=2), st.lists(st.binary(), max_size=2))
def test_any_headers_and_query_present_something(
    query: str, api_keys: list[bytes], authorizations: list[bytes]
) -> None:
    """Arbitrary bytes are a credential, none, or a malformed one; a key is never changed."""
    presented = present(
        facts(query=query, api_keys=tuple(api_keys), authorizations=tuple(authorizations))
    )
    assert isinstance(presented, ApiKey | BearerToken | NoCredential | Malformed)
    if isinstance(presented, ApiKey):
        assert api_keys == [presented.value]
    if isinstance(presented, NoCredential):
        assert not api_keys + authorizations


@given(st.text())
def test_any_text_is_an_address_or_not(text: str) -> None:
    """Arbitrary text has a network or None."""
    network = client_network(text)
    assert network is None or "." in network or network.endswith("/64")


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_one_network_are_one_caller(
    address: ipaddress.IPv6Address, host: int
) -> None:
    """Changing the last 64 bits of an IPv6 address does not make a new caller."""
    neighbour = ipaddress.IPv6Address((int(address) >> 64 << 64) | host)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert client_network(str(address)) == client_network(str(neighbour))
