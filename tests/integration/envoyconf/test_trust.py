"""What a client cannot make anyone believe, and what never leaves the gateway."""

from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import local_settings, running
from tests.integration.envoyconf.stub_authz import StubAuthz, headers_of
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for

_JOB = "/api/v1/jobs/7"
_NONE_ROUTE = "/healthz"

Headers = list[tuple[str, str]]


def received(client: Client, path: str, headers: Headers) -> Headers:
    """What the application got."""
    answer = client.send("GET", path, *headers)
    assert answer.status == 200, answer
    return [(name, value) for name, value in answer.json()["headers"]]


def asked(authz: StubAuthz, request_id: str) -> Headers:
    """The headers of the one check that a request made."""
    (check,) = authz.asked_for(request_id)
    return [(name, value.decode()) for name, value in headers_of(check)]


_SPOOFED: Headers = [
    ("x-authz-tier", "enterprise"),
    ("X-Authz-Subject", "key:root"),
    ("x-authz-anything", "1"),
    ("x-authz-anything", "2"),
]


def test_identity_headers_cannot_be_spoofed(public: Client) -> None:
    """The application sees the authorizer's values, once each, and nothing of the client's."""
    seen = received(public, _JOB, [("x-api-key", "free"), *_SPOOFED])
    ours = {(name, value) for name, value in seen if name.startswith("x-authz-")}
    assert ours == {("x-authz-subject", "key:free"), ("x-authz-tier", "free")}
    assert len([name for name, _ in seen if name == "x-authz-tier"]) == 1


def test_identity_headers_cannot_be_spoofed_where_nobody_is_asked(public: Client) -> None:
    """A route without authentication carries no identity at all."""
    seen = received(public, _NONE_ROUTE, _SPOOFED)
    assert [name for name, _ in seen if name.startswith("x-authz-")] == []


@pytest.mark.parametrize("path", [_JOB, _NONE_ROUTE])
def test_credentials_stay_here(public: Client, path: str) -> None:
    """Neither the key nor the token reaches the application, on any kind of route."""
    sent = [("x-api-key", "free"), ("authorization", "Bearer canary")]
    names = {name for name, _ in received(public, path, sent)}
    assert names.isdisjoint({"x-api-key", "authorization"})


def test_a_check_holds_little(public: Client, authz: StubAuthz, request_id: str) -> None:
    """Six headers at most, raw and apart; the route's name; no body, no cookie."""
    sent = [
        ("x-request-id", request_id),
        ("x-api-key", "free"),
        ("x-api-key", "pro"),
        ("authorization", "Bearer canary"),
        ("traceparent", "00-1-2-01"),
        ("tracestate", "canary"),
        ("x-cloud-trace-context", "1/2"),
        ("cookie", "session=canary"),
        ("user-agent", "canary"),
    ]
    public.send("GET", f"{_JOB}?x=1", *sent)
    assert sorted(asked(authz, request_id)) == [
        ("authorization", "Bearer canary"),
        ("traceparent", "00-1-2-01"),
        ("x-api-key", "free"),
        ("x-api-key", "pro"),
        ("x-cloud-trace-context", "1/2"),
        ("x-envoy-external-address", "127.0.0.1"),
        ("x-request-id", request_id),
    ]
    (check,) = authz.asked_for(request_id)
    assert check.attributes is not None
    assert check.attributes.context_extensions == {"route": "job"}
    assert check.attributes.request is not None
    http = check.attributes.request.http
    assert http is not None
    assert (http.method, http.path, http.body) == ("GET", f"{_JOB}?x=1", "")
    assert http.headers == {}


def test_a_path_is_checked_as_it_is_forwarded(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """Dots and double slashes are gone before anyone looks."""
    sent = [("x-api-key", "free"), ("x-request-id", request_id)]
    answer = public.send("GET", "/healthz/..//api/./v1/%6Aobs/7", *sent)
    (check,) = authz.asked_for(request_id)
    assert check.attributes is not None
    assert check.attributes.request is not None
    assert check.attributes.request.http is not None
    assert check.attributes.request.http.path == answer.json()["path"] == _JOB


def test_a_none_route_asks_nobody(public: Client, authz: StubAuthz, request_id: str) -> None:
    """Not even with a credential."""
    sent = [("x-api-key", "nobody"), ("x-request-id", request_id)]
    assert public.send("GET", _NONE_ROUTE, *sent).status == 200
    assert authz.asked_for(request_id) == []


@pytest.mark.parametrize(
    "forged",
    [
        [("x-envoy-external-address", "198.51.100.9")],
        [("x-envoy-internal", "true"), ("x-envoy-external-address", "198.51.100.9")],
        [("x-forwarded-for", "198.51.100.9")],
        [("x-forwarded-for", "10.0.0.1"), ("x-envoy-external-address", "198.51.100.9")],
        [("x-forwarded-for", "198.51.100.9, 10.0.0.1")],
        [("x-real-ip", "198.51.100.9"), ("true-client-ip", "198.51.100.9")],
    ],
)
def test_an_address_cannot_be_forged(
    public: Client, authz: StubAuthz, request_id: str, forged: Headers
) -> None:
    """Without a trusted proxy the client is who connects, a private address being no exception."""
    public.send("GET", _JOB, ("x-api-key", "free"), ("x-request-id", request_id), *forged)
    addresses = [value for name, value in asked(authz, request_id) if "address" in name]
    assert addresses == ["127.0.0.1"]


def test_commands_to_envoy_are_dropped(public: Client) -> None:
    """A client cannot shorten timeouts, add retries or claim another path."""
    sent = [
        ("x-api-key", "free"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-original-path", "/admin"),
        ("x-envoy-decorator-operation", "x"),
        ("x-envoy-internal", "true"),
        ("x-envoy-of-some-later-version", "1"),
    ]
    seen = received(public, _JOB, sent)
    assert {name for name, _ in seen if name.startswith("x-envoy-")} == {"x-envoy-external-address"}


def test_trusted_hops_count_from_the_right(folder: Path, upstream: StubUpstream) -> None:
    """Behind a load balancer that adds the client and itself, the client is the second last."""
    settings = local_settings(folder)
    policy = replace(policy_for(upstream), trusted_hops=2)
    authz = StubAuthz(settings.authz_sockets[0])
    authz.start()
    try:
        with running(render(policy, settings), settings) as envoy:
            forwarded = ("x-forwarded-for", "198.51.100.66, 203.0.113.9, 203.0.113.1")
            key = ("x-api-key", "free")
            envoy.public.send("GET", _JOB, key, forwarded, ("x-request-id", "hops"))
    finally:
        authz.stop()
    assert ("x-envoy-external-address", "203.0.113.9") in asked(authz, "hops")
