"""Stage 5, the answer: a verdict to status, headers, body and metadata, as plain data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from authz_service.core.challenge import challenge, scope_challenge
from authz_service.core.decision import CANCELLED
from authz_service.core.failures import FAILURES, Failure, failure
from authz_service.core.identity import Identity, Method
from authz_service.core.limit_headers import (
    Headers,
    forwarded_limits,
    limit_headers,
    longest_wait,
    seconds,
)
from authz_service.core.meter import Metered, Reading, Scope
from authz_service.core.rules import Quota, Route, Tier
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

CREDENTIAL_HEADERS = ("x-api-key", "authorization")

_UNAUTHENTICATED: Final = 401
_UNAVAILABLE_RETRY_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """Let the request through, changed: for the application, for the client, for Envoy.

    `readings` are of the limits that were looked at: what `response_headers` tell, as numbers.
    """

    upstream_headers: Headers
    upstream_removed: tuple[str, ...]
    response_headers: Headers
    metadata: Mapping[str, str]
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the client ourselves. `status` is an HTTP status code, `body` JSON."""

    status: int
    headers: Headers
    body: str
    metadata: Mapping[str, str]
    readings: tuple[Reading, ...] = ()


Answer = Pass | Refuse


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody waited for the answer. `metadata` say what is known, in the words of an answer's."""

    metadata: Mapping[str, str]
    readings: tuple[Reading, ...] = ()


Outcome = Answer | Abandoned


@dataclass(frozen=True, slots=True)
class _Words:
    """What an answer says that the verdict does not know."""

    tiers: Mapping[str, Tier]
    accepts_tokens: bool
    request_id: str
    decision_id: str


def respond(
    verdict: Verdict,
    *,
    tiers: Mapping[str, Tier],
    accepts_tokens: bool,
    request_id: str,
    decision_id: str,
) -> Answer:
    """The answer a verdict stands for. `request_id` goes into error bodies."""
    words = _Words(tiers, accepts_tokens, request_id, decision_id)
    if isinstance(verdict, Shadow):
        return _shadowed(verdict, words)
    return _decided(verdict, words)


def abandoned(route: Route | None, identity: Identity | None, *, decision_id: str) -> Abandoned:
    """What is left of a check that nobody waits for any more."""
    return Abandoned(_described(CANCELLED, decision_id, route, identity))


def _decided(verdict: Decided, words: _Words) -> Answer:
    match verdict:
        case Allow():
            return _pass(verdict, words)
        case Deny(reason, route):
            return _denied(reason, route, words)
        case Forbid():
            return _forbidden(verdict, words)
        case Throttle():
            return _throttled(verdict, words)
        case OverLimit():
            return _over_limit(verdict, words)
        case Unavailable(reason, route, identity):
            metadata = _metadata(reason, words, route, identity)
            return _refuse(reason, words, metadata, _retry_after(_UNAVAILABLE_RETRY_SECONDS))
        case _:
            assert_never(verdict)


def _pass(allow: Allow, words: _Words) -> Pass:
    upstream = _upstream_headers(allow.identity, allow.route, allow.metered, words)
    unset = tuple(name for name, value in upstream.items() if not value)
    return Pass(
        upstream_headers=tuple((name, value) for name, value in upstream.items() if value),
        # A header we do not set must not survive from the client either.
        upstream_removed=CREDENTIAL_HEADERS + unset,
        response_headers=_told(allow.metered),
        metadata=_metadata(Reason.OK, words, allow.route, allow.identity, allow.metered),
        readings=_readings(allow.metered),
    )


def _shadowed(shadow: Shadow, words: _Words) -> Pass:
    """The request as it came, and what would have become of it where operators look."""
    would_be = _decided(shadow.decided, words)
    upstream = _upstream_headers(shadow.identity, shadow.route, None, words)
    return Pass(
        upstream_headers=tuple((name, value) for name, value in upstream.items() if value),
        upstream_removed=tuple(name for name, value in upstream.items() if not value),
        response_headers=(),
        metadata={
            **_metadata(Reason.OK, words, shadow.route, shadow.identity),
            "shadow_reason": would_be.metadata["reason"],
        },
        readings=would_be.readings,
    )


def _upstream_headers(
    identity: Identity, route: Route, metered: Metered | None, words: _Words
) -> Mapping[str, str]:
    """What the application learns of the caller. What is empty must not reach it at all."""
    tier = words.tiers.get(identity.tier)  # in shadow there may be no tier for anonymous callers
    return {
        "x-authz-subject": identity.subject,
        "x-authz-tier": identity.tier,
        "x-authz-method": identity.method.value,
        "x-authz-key-id": identity.key_id,
        "x-authz-max-upload-bytes": str(tier.max_upload_bytes) if tier else "",
        "x-authz-limits": forwarded_limits(metered) if route.forward_limits and metered else "",
    }


def _denied(reason: Reason, route: Route | None, words: _Words) -> Refuse:
    headers: Headers = ()
    if FAILURES[reason].status == _UNAUTHENTICATED:
        headers = (("www-authenticate", challenge(reason, accepts_tokens=words.accepts_tokens)),)
    return _refuse(reason, words, _metadata(reason, words, route), headers)


def _forbidden(forbid: Forbid, words: _Words) -> Refuse:
    headers = _told(forbid.metered)
    if forbid.reason is Reason.MISSING_SCOPE and forbid.identity.method is Method.JWT:
        headers = (("www-authenticate", scope_challenge(forbid.needs)), *headers)
    details: dict[str, object] = {"reason": forbid.reason.value}
    if forbid.needs:
        details["needs"] = forbid.needs
    metadata = _metadata(forbid.reason, words, forbid.route, forbid.identity, forbid.metered)
    return _refuse(forbid.reason, words, metadata, headers, details=details, metered=forbid.metered)


def _throttled(throttle: Throttle, words: _Words) -> Refuse:
    reason = Reason.TOO_MANY_BAD_CREDENTIALS
    wait = seconds(throttle.retry_after_ms)
    return _refuse(
        reason,
        words,
        _metadata(reason, words, throttle.route),
        _retry_after(wait),
        details={"limit": "bad-credentials", "retry_after": wait},
    )


def _over_limit(over: OverLimit, words: _Words) -> Refuse:
    failing = longest_wait(over.metered.readings)
    limit = failing.charge.limit
    reason = Reason.QUOTA_EXCEEDED if isinstance(limit, Quota) else Reason.RATE_LIMITED
    wait = seconds(failing.retry_after_ms)
    return _refuse(
        reason,
        words,
        _metadata(reason, words, over.route, over.identity, over.metered),
        _retry_after(wait) + _told(over.metered),
        details={"limit": limit.name, "retry_after": wait},
        metered=over.metered,
    )


def _readings(metered: Metered | None) -> tuple[Reading, ...]:
    return () if metered is None else metered.readings


def _told(metered: Metered | None) -> Headers:
    """The limit headers, marked when they speak of this process alone; none without a count."""
    if metered is None or not metered.readings:
        return ()
    if metered.scope is Scope.LOCAL:
        return (*limit_headers(metered), ("x-ratelimit-scope", "local"))
    return limit_headers(metered)


def _retry_after(wait_seconds: int) -> Headers:
    return (("retry-after", str(wait_seconds)),)


def _refuse(
    reason: Reason,
    words: _Words,
    metadata: Mapping[str, str],
    headers: Headers,
    *,
    details: Mapping[str, object] | None = None,
    metered: Metered | None = None,
) -> Refuse:
    told = failure(reason, accepts_tokens=words.accepts_tokens)
    return Refuse(
        status=told.status,
        headers=(("content-type", "application/json"), *headers),
        body=error_body(told, request_id=words.request_id, details=details),
        metadata=metadata,
        readings=_readings(metered),
    )


def error_body(told: Failure, *, request_id: str, details: Mapping[str, object] | None) -> str:
    """The one form of all errors, as JSON. `details` only where there is something to say."""
    error: dict[str, object] = {
        "code": told.code,
        "message": told.message,
        "request_id": request_id,
    }
    if details is not None:
        error["details"] = details
    return json.dumps({"error": error}, separators=(",", ":"))


def _metadata(
    reason: Reason,
    words: _Words,
    route: Route | None,
    identity: Identity | None = None,
    metered: Metered | None = None,
) -> Mapping[str, str]:
    """What Envoy's body limit and access log read, on allow and on deny."""
    metadata = _described(reason.value, words.decision_id, route, identity)
    if metered is not None and metered.scope is not Scope.SHARED:
        metadata["scope"] = metered.scope.value
    return metadata


def _described(
    reason: str, decision_id: str, route: Route | None, identity: Identity | None
) -> dict[str, str]:
    metadata = {"reason": reason, "decision_id": decision_id}
    if route is not None:
        metadata["route"] = route.name
    if identity is not None:
        metadata["subject"] = identity.subject
        metadata["tier"] = identity.tier
        metadata["method"] = identity.method.value
        metadata["key_id"] = identity.key_id
    return metadata
