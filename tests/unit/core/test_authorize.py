"""Whether a known caller may use a route."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from authz_service.core.authorize import Refusal, authorize
from authz_service.core.identity import Identity, Method
from authz_service.core.rules import Route
from authz_service.core.verdict import Reason
from authz_service.testing.builders import CLIENT_ADDRESS, route

CALLER = Identity(
    subject="key:acme",
    tier="pro",
    method=Method.API_KEY,
    key_id="key-1",
    scopes=("reports:read", "reports:write"),
)
NOBODY = Identity(subject="anon:203.0.113.7", tier="anonymous", method=Method.ANONYMOUS)


def judged(
    identity: Identity, asked: Route, client_address: str = CLIENT_ADDRESS
) -> Refusal | None:
    """What the stage says."""
    return authorize(identity, asked, client_address=client_address)


@pytest.mark.parametrize(
    "asked",
    [
        route(),
        route(for_tiers=("pro", "enterprise")),
        route(scopes=("reports:read",)),
        route(scopes=("reports:write", "reports:read")),
        route(credentials=("jwt", "api_key")),
    ],
)
def test_who_has_what_a_route_asks_for_may_use_it(asked: Route) -> None:
    """One of the tiers, all of the scopes, one of the kinds of credential."""
    assert judged(CALLER, asked) is None


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (
            route(for_tiers=("free", "enterprise")),
            Refusal(Reason.TIER_NOT_ALLOWED, ("free", "enterprise")),
        ),
        (
            route(scopes=("reports:read", "reports:delete")),
            Refusal(Reason.MISSING_SCOPE, ("reports:read", "reports:delete")),
        ),
        (route(scopes=("reports",)), Refusal(Reason.MISSING_SCOPE, ("reports",))),
        (route(credentials=("jwt",)), Refusal(Reason.CREDENTIAL_NOT_ALLOWED, ("jwt",))),
    ],
)
def test_who_lacks_something_is_told_what_would_do(asked: Route, refusal: Refusal) -> None:
    """The refusal names the policy's own words, never those of the credential."""
    assert judged(CALLER, asked) == refusal


@pytest.mark.parametrize(
    "asked",
    [route(for_tiers=("pro",)), route(scopes=("reports:read",)), route(credentials=("jwt",))],
)
def test_an_anonymous_caller_is_asked_for_a_credential(asked: Route) -> None:
    """What a credential could change is a 401 and no 403."""
    assert judged(NOBODY, asked) == Refusal(Reason.MISSING_CREDENTIAL)


@pytest.mark.parametrize(
    ("client_address", "allowed"),
    [
        ("203.0.113.7", True),
        ("::ffff:203.0.113.7", True),
        ("203.0.114.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("unix:/run/x", False),
        ("203.0.113.7, 203.0.113.8", False),
    ],
)
def test_a_key_may_be_bound_to_networks(client_address: str, *, allowed: bool) -> None:
    """The address that Envoy vouches for decides, in IPv4 however it is written."""
    networks = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    bound = replace(CALLER, networks=networks)
    expected = None if allowed else Refusal(Reason.NETWORK_NOT_ALLOWED)
    assert judged(bound, route(), client_address) == expected
