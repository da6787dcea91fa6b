"""Which web pages may call. The default policy of these tests allows one origin."""

import pytest

from tests.integration.envoyconf.client import Answer, Client
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream

_GOOD = "https://app.example.com"
_JOB = "/api/v1/jobs/7"


def _preflight(public: Client, origin: str, request_id: str) -> Answer:
    return public.send(
        "OPTIONS",
        "/api/v1/images/upscale",
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-api-key,prefer"),
        ("x-request-id", request_id),
    )


def _words(answer: Answer, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers[name].split(",")}


def test_a_preflight_is_answered_here(public: Client, authz: StubAuthz, request_id: str) -> None:
    """It has no credential, so nobody is asked."""
    answer = _preflight(public, _GOOD, request_id)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == _GOOD
    assert {"get", "post", "delete", "head"} <= _words(answer, "access-control-allow-methods")
    allowed = _words(answer, "access-control-allow-headers")
    assert {"x-api-key", "authorization", "prefer", "idempotency-key", "range"} <= allowed
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers
    assert "x-ratelimit-limit" not in answer.headers
    assert authz.asked_for(request_id) == []


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.org",
        "https://evilapp.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "null",
    ],
)
def test_a_lookalike_gets_nothing(
    public: Client, authz: StubAuthz, request_id: str, origin: str
) -> None:
    """Another scheme, port or suffix is another origin; its preflight goes no further."""
    answer = _preflight(public, origin, request_id)
    assert "access-control-allow-origin" not in answer.headers
    assert authz.asked_for(request_id) == []


@pytest.mark.parametrize("key", ["free", "nobody"])
def test_a_script_may_read_the_answer(public: Client, key: str) -> None:
    """Its limits, its id and its errors too: a 401 without the header is a riddle to a page."""
    answer = public.send("GET", _JOB, ("origin", _GOOD), ("x-api-key", key))
    assert answer.status in {200, 401}
    assert answer.headers["access-control-allow-origin"] == _GOOD
    exposed = _words(answer, "access-control-expose-headers")
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining", "location", "etag"} <= exposed


@pytest.mark.parametrize("origin", [_GOOD, "https://evil.org"])
def test_caches_are_told(public: Client, origin: str) -> None:
    """The answer depends on the origin, and says so to everyone."""
    answer = public.send("GET", _JOB, ("origin", origin), ("x-api-key", "free"))
    assert "origin" in _words(answer, "vary")


@pytest.mark.parametrize("empty", ["origin", "access-control-request-method"])
def test_half_a_preflight_is_a_request(
    public: Client, upstream: StubUpstream, request_id: str, empty: str
) -> None:
    """Without an origin or a method to ask about, OPTIONS is a wrong method like any other."""
    headers = {"origin": _GOOD, "access-control-request-method": "POST", empty: ""}
    sent = (*headers.items(), ("x-request-id", request_id))
    assert public.send("OPTIONS", _JOB, *sent).status == 405
    assert request_id not in upstream.seen


def test_a_preflight_never_reaches_the_application(
    public: Client, upstream: StubUpstream, request_id: str
) -> None:
    """From nowhere and to nowhere."""
    _preflight(public, _GOOD, request_id)
    _preflight(public, "https://evil.org", request_id)
    assert request_id not in upstream.seen
