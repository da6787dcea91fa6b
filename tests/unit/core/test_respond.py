"""From a verdict to the answer: status, headers, body, metadata, to the letter."""

import json
from dataclasses import replace

import pytest

from authz_service.core.failures import FAILURES
from authz_service.core.identity import Identity, Method
from authz_service.core.meter import Metered, Reading, Scope
from authz_service.core.respond import Answer, Pass, Refuse, respond
from authz_service.core.rules import Charge, Limit
from authz_service.core.verdict import (
    Allow,
    Decided,
    Deny,
    Forbid,
    OverLimit,
    Reason,
    Shadow,
    Throttle,
    Unavailable,
    Verdict,
)
from authz_service.testing.builders import quota, rate, route, tier

ROUTE = route("upscale")
CALLER = Identity(subject="key:acme", tier="free", method=Method.API_KEY, key_id="key-1")
ANONYMOUS = Identity(subject="anon:203.0.113.7", tier="anonymous", method=Method.ANONYMOUS)
TIERS = {name: tier(name) for name in ("anonymous", "free")}
ADMITTED = Metered(
    admitted=True,
    readings=(
        Reading(Charge(rate(10), 1), 9, 60_000, 0),
        Reading(Charge(quota(500), 1), 499, 43_200_000, 0),
    ),
)
LIMIT_HEADERS = (
    ("x-ratelimit-limit", "10"),
    ("x-ratelimit-remaining", "9"),
    ("x-ratelimit-reset", "60"),
    ("ratelimit", '"per-minute";r=9;t=60, "per-day";r=499;t=43200'),
    ("ratelimit-policy", '"per-minute";q=10;w=60, "per-day";q=500;w=86400'),
)
UNAUTHENTICATED = (
    ("content-type", "application/json"),
    ("www-authenticate", 'ApiKey header="X-API-Key"'),
)


def answered(
    verdict: Verdict, request_id: str = "request-1", *, accepts_tokens: bool = False
) -> Answer:
    """The answer under the tiers of these tests."""
    return respond(
        verdict,
        tiers=TIERS,
        accepts_tokens=accepts_tokens,
        request_id=request_id,
        decision_id="decision-1",
    )


def passed(verdict: Allow) -> Pass:
    """The answer of an allow."""
    answer = answered(verdict)
    assert isinstance(answer, Pass)
    return answer


def refused(verdict: Verdict, request_id: str = "request-1") -> Refuse:
    """The answer of anything but an allow."""
    answer = answered(verdict, request_id)
    assert isinstance(answer, Refuse)
    return answer


def failing(limit: Limit, *, retry_after_ms: int) -> Reading:
    """A limit that has nothing left."""
    return Reading(Charge(limit, 1), 0, retry_after_ms, retry_after_ms)


def test_an_allowed_caller_is_told_to_application_client_and_envoy() -> None:
    """An allow, complete: identity headers, what is removed, limit headers, metadata."""
    assert passed(Allow(ROUTE, CALLER, ADMITTED)) == Pass(
        upstream_headers=(
            ("x-authz-subject", "key:acme"),
            ("x-authz-tier", "free"),
            ("x-authz-method", "api_key"),
            ("x-authz-key-id", "key-1"),
            ("x-authz-max-upload-bytes", "5242880"),
        ),
        upstream_removed=("x-api-key", "authorization", "x-authz-limits"),
        response_headers=LIMIT_HEADERS,
        metadata={
            "reason": "ok",
            "decision_id": "decision-1",
            "route": "upscale",
            "subject": "key:acme",
            "tier": "free",
            "method": "api_key",
            "key_id": "key-1",
        },
        readings=ADMITTED.readings,
    )


def test_a_route_may_forward_its_limits() -> None:
    """On a route with `forward_limits` the application gets all limits in one header."""
    answer = passed(Allow(replace(ROUTE, forward_limits=True), CALLER, ADMITTED))
    assert dict(answer.upstream_headers)["x-authz-limits"] == (
        '"per-minute";q=10;r=9;w=60;t=60, "per-day";q=500;r=499;w=86400;t=43200'
    )
    assert answer.upstream_removed == ("x-api-key", "authorization")


def test_an_anonymous_caller_has_no_key_id() -> None:
    """A header we cannot fill is removed, so that a client's own does not survive."""
    answer = passed(Allow(ROUTE, ANONYMOUS, None))
    assert "x-authz-key-id" not in dict(answer.upstream_headers)
    assert "x-authz-key-id" in answer.upstream_removed
    assert dict(answer.upstream_headers)["x-authz-method"] == "anonymous"


@pytest.mark.parametrize("metered", [None, ADMITTED, Metered(admitted=True, readings=())])
@pytest.mark.parametrize("identity", [CALLER, ANONYMOUS])
@pytest.mark.parametrize("forward", [True, False])
def test_every_identity_header_is_either_set_or_removed(
    metered: Metered | None, identity: Identity, *, forward: bool
) -> None:
    """Each of our headers is set or removed, never both and never left to the client."""
    answer = passed(Allow(replace(ROUTE, forward_limits=forward), identity, metered))
    changed = [name for name, _ in answer.upstream_headers] + list(answer.upstream_removed)
    assert sorted(changed) == sorted(
        [
            "authorization",
            "x-api-key",
            "x-authz-key-id",
            "x-authz-limits",
            "x-authz-max-upload-bytes",
            "x-authz-method",
            "x-authz-subject",
            "x-authz-tier",
        ]
    )


def test_without_limits_nothing_is_told() -> None:
    """A request that takes from no limit, or was counted nowhere, has no limit headers."""
    assert passed(Allow(ROUTE, CALLER, None)).response_headers == ()
    uncounted = Metered(admitted=True, readings=(), scope=Scope.UNCOUNTED)
    assert passed(Allow(ROUTE, CALLER, uncounted)).response_headers == ()


def test_local_counting_is_marked() -> None:
    """Limits counted in this process alone say so, on an allow and on a denial."""
    mark = ("x-ratelimit-scope", "local")
    local = replace(ADMITTED, scope=Scope.LOCAL)
    assert passed(Allow(ROUTE, CALLER, local)).response_headers == (*LIMIT_HEADERS, mark)
    over = Metered(admitted=False, readings=(failing(rate(), retry_after_ms=1),), scope=Scope.LOCAL)
    assert refused(OverLimit(ROUTE, CALLER, over)).headers[-1] == mark


NOT_VALID = "The credential is not valid."


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Reason.MISSING_CREDENTIAL, "Send an API key in the X-API-Key header."),
        (
            Reason.CREDENTIAL_IN_QUERY,
            "Credentials in the query string are not accepted; send the X-API-Key header.",
        ),
        (Reason.AMBIGUOUS_CREDENTIAL, "Send exactly one credential."),
        (Reason.UNSUPPORTED_SCHEME, "This authorization scheme is not supported."),
        (Reason.MALFORMED_CREDENTIAL, NOT_VALID),
        (Reason.UNKNOWN_KEY, NOT_VALID),
        (Reason.DISABLED_KEY, NOT_VALID),
        (Reason.EXPIRED_KEY, NOT_VALID),
        (Reason.UNKNOWN_TIER, NOT_VALID),
        (Reason.MALFORMED_TOKEN, NOT_VALID),
        (Reason.UNKNOWN_ISSUER, NOT_VALID),
        (Reason.ALGORITHM_NOT_ALLOWED, NOT_VALID),
        (Reason.UNKNOWN_SIGNING_KEY, NOT_VALID),
        (Reason.BAD_SIGNATURE, NOT_VALID),
        (Reason.EXPIRED_TOKEN, NOT_VALID),
        (Reason.TOKEN_NOT_YET_VALID, NOT_VALID),
        (Reason.TOKEN_LIVES_TOO_LONG, NOT_VALID),
        (Reason.WRONG_TOKEN_TYPE, NOT_VALID),
        (Reason.WRONG_AUDIENCE, NOT_VALID),
        (Reason.INVALID_CLAIM, NOT_VALID),
        (Reason.TIER_NOT_GRANTED, NOT_VALID),
    ],
)
def test_a_refused_credential_is_401_with_a_challenge(reason: Reason, message: str) -> None:
    """Who cannot be identified gets 401, how to do better, and no limit headers."""
    answer = refused(Deny(reason, ROUTE))
    assert answer.status == 401
    assert answer.headers == UNAUTHENTICATED
    assert json.loads(answer.body) == {
        "error": {"code": "UNAUTHENTICATED", "message": message, "request_id": "request-1"}
    }
    assert answer.metadata == {
        "reason": reason.value,
        "decision_id": "decision-1",
        "route": "upscale",
    }


def test_unknown_disabled_and_expired_keys_look_the_same_from_outside() -> None:
    """Nobody learns from an answer whether a key once existed; only the metadata tell."""
    outside = {
        (answer.status, answer.headers, answer.body)
        for reason in (
            Reason.UNKNOWN_KEY,
            Reason.DISABLED_KEY,
            Reason.EXPIRED_KEY,
            Reason.UNKNOWN_TIER,
            Reason.MALFORMED_CREDENTIAL,
        )
        for answer in [refused(Deny(reason, ROUTE))]
    }
    assert len(outside) == 1


@pytest.mark.parametrize("reason", [Reason.NO_ROUTE, Reason.NO_CLIENT_ADDRESS])
def test_what_no_credential_would_change_is_403(reason: Reason) -> None:
    """A request that no credential could rescue is forbidden, without a challenge."""
    answer = refused(Deny(reason))
    assert answer.status == 403
    assert answer.headers == (("content-type", "application/json"),)
    assert json.loads(answer.body)["error"]["code"] == "FORBIDDEN"
    assert answer.metadata == {"reason": reason.value, "decision_id": "decision-1"}


def test_an_exceeded_rate_is_429_to_the_letter() -> None:
    """The whole answer to a request over its rate."""
    metered = Metered(
        admitted=False,
        readings=(
            failing(rate(10), retry_after_ms=29_001),
            Reading(Charge(quota(500), 1), 490, 43_200_000, 0),
        ),
    )
    answer = refused(OverLimit(ROUTE, CALLER, metered))
    assert answer.status == 429
    assert answer.headers == (
        ("content-type", "application/json"),
        ("retry-after", "30"),
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "30"),
        ("ratelimit", '"per-minute";r=0;t=30, "per-day";r=490;t=43200'),
        ("ratelimit-policy", '"per-minute";q=10;w=60, "per-day";q=500;w=86400'),
    )
    assert answer.body == (
        '{"error":{"code":"RATE_LIMIT_EXCEEDED",'
        '"message":"Rate limit exceeded. Please try again later.","request_id":"request-1",'
        '"details":{"limit":"per-minute","retry_after":30}}}'
    )
    assert answer.metadata["reason"] == Reason.RATE_LIMITED
    assert answer.metadata["subject"] == "key:acme"


def test_an_exceeded_quota_has_a_code_of_its_own() -> None:
    """If the quota keeps the caller waiting longest, the answer speaks of the quota."""
    metered = Metered(
        admitted=False,
        readings=(
            failing(rate(10), retry_after_ms=30_000),
            failing(quota(500), retry_after_ms=43_200_000),
        ),
    )
    answer = refused(OverLimit(ROUTE, CALLER, metered))
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (429, "QUOTA_EXCEEDED")
    assert error["details"] == {"limit": "per-day", "retry_after": 43_200}
    assert dict(answer.headers)["retry-after"] == "43200"
    assert dict(answer.headers)["x-ratelimit-limit"] == "500"
    assert answer.metadata["reason"] == Reason.QUOTA_EXCEEDED


@pytest.mark.parametrize(
    "reason",
    [
        Reason.STORE_UNAVAILABLE,
        Reason.KEY_STORE_UNAVAILABLE,
        Reason.SIGNING_KEYS_UNAVAILABLE,
        Reason.INTERNAL_ERROR,
    ],
)
def test_what_could_not_be_decided_is_503_and_worth_a_retry(reason: Reason) -> None:
    """Our own failures are never an allow: 503, to be tried again after a second."""
    answer = refused(Unavailable(reason, ROUTE, CALLER))
    assert answer.status == 503
    assert answer.headers == (("content-type", "application/json"), ("retry-after", "1"))
    assert json.loads(answer.body) == {
        "error": {
            "code": "SERVICE_UNAVAILABLE",
            "message": "The service is temporarily unavailable.",
            "request_id": "request-1",
        }
    }
    assert answer.metadata["reason"] == reason.value
    assert answer.metadata["key_id"] == "key-1"


TOKENS = [
    Reason.MALFORMED_TOKEN,
    Reason.UNKNOWN_ISSUER,
    Reason.ALGORITHM_NOT_ALLOWED,
    Reason.UNKNOWN_SIGNING_KEY,
    Reason.BAD_SIGNATURE,
    Reason.EXPIRED_TOKEN,
    Reason.TOKEN_NOT_YET_VALID,
    Reason.TOKEN_LIVES_TOO_LONG,
    Reason.WRONG_TOKEN_TYPE,
    Reason.WRONG_AUDIENCE,
    Reason.INVALID_CLAIM,
    Reason.TIER_NOT_GRANTED,
]


@pytest.mark.parametrize("reason", TOKENS)
def test_a_token_that_is_not_believed_is_told_so_and_no_more(reason: Reason) -> None:
    """RFC 6750's error code, and one body whatever was wrong."""
    answer = answered(Deny(reason, ROUTE), accepts_tokens=True)
    other = answered(Deny(Reason.BAD_SIGNATURE, ROUTE), accepts_tokens=True)
    assert isinstance(answer, Refuse)
    assert isinstance(other, Refuse)
    assert answer.headers[1] == (
        "www-authenticate",
        'ApiKey header="X-API-Key", Bearer error="invalid_token"',
    )
    assert (answer.status, answer.headers, answer.body) == (401, other.headers, other.body)


def test_tokens_are_asked_for_where_some_could_be_believed() -> None:
    """A missing credential names both kinds, and offers both schemes."""
    answer = answered(Deny(Reason.MISSING_CREDENTIAL, ROUTE), accepts_tokens=True)
    assert isinstance(answer, Refuse)
    assert answer.headers[1] == ("www-authenticate", 'ApiKey header="X-API-Key", Bearer')
    assert json.loads(answer.body)["error"]["message"] == (
        "Send an API key in the X-API-Key header or a bearer token in the Authorization header."
    )


def test_who_may_not_is_told_why_and_what_would_do() -> None:
    """403 with a reason to act on, and the limits that were charged all the same."""
    verdict = Forbid(Reason.TIER_NOT_ALLOWED, ROUTE, CALLER, ADMITTED, ("pro", "enterprise"))
    answer = refused(verdict)
    assert answer.status == 403
    assert answer.headers == (("content-type", "application/json"), *LIMIT_HEADERS)
    assert json.loads(answer.body)["error"] == {
        "code": "FORBIDDEN",
        "message": "The caller's tier may not do this.",
        "request_id": "request-1",
        "details": {"reason": "tier_not_allowed", "needs": ["pro", "enterprise"]},
    }
    assert answer.metadata["reason"] == "tier_not_allowed"
    assert answer.metadata["key_id"] == "key-1"


@pytest.mark.parametrize(
    "reason",
    [Reason.CREDENTIAL_NOT_ALLOWED, Reason.NETWORK_NOT_ALLOWED, Reason.MISSING_SCOPE],
)
def test_every_refusal_of_a_known_caller_has_a_reason_code(reason: Reason) -> None:
    """The code in the details is the one of the log."""
    answer = refused(Forbid(reason, ROUTE, CALLER, None))
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["details"] == {"reason": reason.value}
    assert answer.headers == (("content-type", "application/json"),)


def test_a_token_without_a_scope_gets_the_challenge_of_its_standard() -> None:
    """`insufficient_scope` with the scopes, for tokens and not for keys (RFC 6750)."""
    holder = replace(CALLER, method=Method.JWT)
    answer = refused(Forbid(Reason.MISSING_SCOPE, ROUTE, holder, None, ("a:read", "a:write")))
    assert answer.headers[1] == (
        "www-authenticate",
        'Bearer error="insufficient_scope", scope="a:read a:write"',
    )


def test_too_many_bad_credentials_are_429() -> None:
    """With the wait, rounded up, and without any limits of a caller nobody knows."""
    answer = refused(Throttle(ROUTE, 41_001))
    assert answer.status == 429
    assert answer.headers == (("content-type", "application/json"), ("retry-after", "42"))
    error = json.loads(answer.body)["error"]
    assert error["code"] == "RATE_LIMIT_EXCEEDED"
    assert error["details"] == {"limit": "bad-credentials", "retry_after": 42}
    assert answer.metadata["reason"] == Reason.TOO_MANY_BAD_CREDENTIALS


@pytest.mark.parametrize(
    ("decided", "would_be"),
    [
        (Allow(ROUTE, CALLER, ADMITTED), "ok"),
        (Deny(Reason.UNKNOWN_KEY, ROUTE), "unknown_key"),
        (Forbid(Reason.MISSING_SCOPE, ROUTE, CALLER, ADMITTED, ("a",)), "missing_scope"),
        (
            OverLimit(ROUTE, CALLER, Metered(False, (failing(rate(), retry_after_ms=9),))),  # noqa: FBT003
            "rate_limited",
        ),
        (Throttle(ROUTE, 1), "too_many_bad_credentials"),
        (Unavailable(Reason.STORE_UNAVAILABLE, ROUTE, CALLER), "store_unavailable"),
    ],
)
def test_in_shadow_everything_passes_as_it_came(decided: Decided, would_be: str) -> None:
    """Credentials stay, identity headers are set, no limits are told, the verdict is metadata."""
    shadow = replace(ROUTE, shadow=True, forward_limits=True)
    answer = answered(Shadow(decided, shadow, CALLER))
    assert answer == Pass(
        upstream_headers=(
            ("x-authz-subject", "key:acme"),
            ("x-authz-tier", "free"),
            ("x-authz-method", "api_key"),
            ("x-authz-key-id", "key-1"),
            ("x-authz-max-upload-bytes", "5242880"),
        ),
        upstream_removed=("x-authz-limits",),
        response_headers=(),
        metadata={
            "reason": "ok",
            "decision_id": "decision-1",
            "route": "upscale",
            "subject": "key:acme",
            "tier": "free",
            "method": "api_key",
            "key_id": "key-1",
            "shadow_reason": would_be,
        },
        readings=answered(decided).readings,
    )


def test_in_shadow_nobody_needs_a_tier() -> None:
    """Where no tier is named anonymous, the application is told no size."""
    stranger = replace(ANONYMOUS, tier="nowhere")
    answer = answered(Shadow(Deny(Reason.UNKNOWN_KEY, ROUTE), ROUTE, stranger))
    assert isinstance(answer, Pass)
    assert "x-authz-max-upload-bytes" in answer.upstream_removed


def test_every_reason_but_ok_has_an_answer() -> None:
    """No verdict can meet a reason without status, code and message."""
    assert set(FAILURES) == set(Reason) - {Reason.OK}


@pytest.mark.parametrize(
    "request_id", ['"', "\\", "\r\nset-cookie: x=1", "\x00", "é", "\u2028", "</script>", "\ud800"]
)
def test_a_request_id_cannot_break_out_of_the_body(request_id: str) -> None:
    """Whatever stands in a request id comes out of the JSON as it went in, on one ASCII line."""
    answer = refused(Deny(Reason.NO_ROUTE), request_id)
    assert json.loads(answer.body)["error"]["request_id"] == request_id
    assert answer.body.isascii()
    assert answer.body.isprintable()
