"""From a credential to a caller, or to the reason why there is none."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from authz_service.core.api_key import ApiKeyRecord
from authz_service.core.credential import ApiKey, BearerToken, Malformed, NoCredential, Presented
from authz_service.core.identify import client_network, identify
from authz_service.core.identity import Identity, Method
from authz_service.core.rules import Authentication, Overrides
from authz_service.core.verdict import Reason
from authz_service.testing.builders import facts, key_record, rate, route
from authz_service.testing.credentials import FixedCredentials

NOW_MS = 1_000_000
KEY = ApiKey(b"sk-0123456789")


def identified(
    presented: Presented,
    *,
    record: ApiKeyRecord | Reason = Reason.UNKNOWN_KEY,
    token: Identity | Reason = Reason.UNKNOWN_ISSUER,
    authentication: Authentication = Authentication.REQUIRED,
    client_address: str = "203.0.113.7",
) -> Identity | Reason:
    """Identify on a route with this authentication, with one record for every key."""
    return identify(
        presented,
        facts=facts(client_address=client_address),
        route=route(authentication=authentication),
        credentials=FixedCredentials(key=record, token=token),
        now_ms=NOW_MS,
    )


def test_a_known_key_is_its_subject() -> None:
    """A key's record says who the caller is and of which tier."""
    record = key_record("key-1", subject="acme", tier="pro", expires_at_ms=NOW_MS + 1)
    assert identified(KEY, record=record) == Identity(
        subject="key:acme", tier="pro", method=Method.API_KEY, key_id="key-1"
    )


def test_the_key_itself_is_looked_up() -> None:
    """The look-up gets exactly the bytes that were presented."""
    credentials = FixedCredentials()

    identify(KEY, facts=facts(), route=route(), credentials=credentials, now_ms=NOW_MS)
    assert credentials.asked == [KEY.value]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Reason.UNKNOWN_KEY, Reason.UNKNOWN_KEY),
        (Reason.KEY_STORE_UNAVAILABLE, Reason.KEY_STORE_UNAVAILABLE),
        (key_record(disabled=True), Reason.DISABLED_KEY),
        (key_record(disabled=True, expires_at_ms=1), Reason.DISABLED_KEY),
        (key_record(expires_at_ms=NOW_MS), Reason.EXPIRED_KEY),
        (key_record(expires_at_ms=-1), Reason.EXPIRED_KEY),
    ],
)
@pytest.mark.parametrize("authentication", Authentication)
def test_a_key_that_is_not_good_is_refused_everywhere(
    record: ApiKeyRecord | Reason, reason: Reason, authentication: Authentication
) -> None:
    """An invalid key never turns into an anonymous caller, whatever the route asks for."""
    assert identified(KEY, record=record, authentication=authentication) is reason


@pytest.mark.parametrize("authentication", Authentication)
def test_a_token_that_is_not_believed_is_refused_everywhere(
    authentication: Authentication,
) -> None:
    """An invalid token never turns into an anonymous caller, whatever the route asks for."""
    presented = BearerToken(b"a.b.c")
    refused = identified(presented, token=Reason.BAD_SIGNATURE, authentication=authentication)
    assert refused is Reason.BAD_SIGNATURE


def test_a_token_that_is_believed_speaks_for_its_subject() -> None:
    """The identity is the one that the verification found."""
    holder = Identity(subject="jwt:accounts:ada", tier="pro", method=Method.JWT)
    assert identified(BearerToken(b"a.b.c"), token=holder) == holder


@pytest.mark.parametrize("authentication", Authentication)
def test_a_malformed_credential_keeps_its_reason(authentication: Authentication) -> None:
    """What the first stage found wrong is the reason, on every route."""
    presented = Malformed(Reason.AMBIGUOUS_CREDENTIAL)
    assert identified(presented, authentication=authentication) is Reason.AMBIGUOUS_CREDENTIAL


def test_a_route_that_requires_a_caller_refuses_nobody_in_particular() -> None:
    """No credential on a required route is a missing credential, address or not."""
    assert identified(NoCredential()) is Reason.MISSING_CREDENTIAL
    assert identified(NoCredential(), client_address="") is Reason.MISSING_CREDENTIAL


@pytest.mark.parametrize("authentication", [Authentication.OPTIONAL, Authentication.NONE])
def test_a_caller_without_credential_is_anonymous_where_allowed(
    authentication: Authentication,
) -> None:
    """An anonymous caller is known by the address that Envoy vouches for."""
    assert identified(NoCredential(), authentication=authentication) == Identity(
        subject="anon:203.0.113.7", tier="anonymous", method=Method.ANONYMOUS
    )


@pytest.mark.parametrize("address", ["", "unknown", "203.0.113.7, 10.0.0.1", "203.0.113.7:80"])
def test_an_anonymous_caller_without_an_address_is_refused(address: str) -> None:
    """Somebody who cannot be counted does not pass."""
    found = identified(
        NoCredential(), authentication=Authentication.OPTIONAL, client_address=address
    )
    assert found is Reason.NO_CLIENT_ADDRESS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_counted_by_its_network(address: str, network: str) -> None:
    """IPv4 counts whole, also when mapped into IPv6; IPv6 counts by its /64."""
    assert client_network(address) == network


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "localhost",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4 ",
        "::g",
        "1.2.3.4/24",
        "\uff11.2.3.4",
        "[::1]",
    ],
)
def test_what_is_no_address_has_no_network(address: str) -> None:
    """Only a plain address is one; nothing is repaired."""
    assert client_network(address) is None


def test_a_subject_cannot_imitate_another_kind_of_caller() -> None:
    """Our prefix stands before whatever a key's subject says."""
    found = identified(KEY, record=key_record(subject="anon:203.0.113.7"))
    assert isinstance(found, Identity)
    assert found.subject == "key:anon:203.0.113.7"


def test_what_a_key_may_and_may_not_goes_with_its_holder() -> None:
    """Scopes, limits of its own and networks are the next stages' to judge."""
    own = Overrides(rate=rate(2))
    networks = (ip_network("203.0.113.0/24"),)
    record = replace(key_record(), scopes=("a:read",), overrides=own, networks=networks)
    found = identified(KEY, record=record)
    assert isinstance(found, Identity)
    assert (found.scopes, found.overrides, found.networks) == (("a:read",), own, networks)
