"""Stage 4, the answer: a verdict to status, headers, body and metadata, as plain data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from authz_service.core.identity import Identity
from authz_service.core.limit_headers import (
    Headers,
    forwarded_limits,
    limit_headers,
    longest_wait,
    seconds,
)
from authz_service.core.meter import Metered, Scope
from authz_service.core.rules import Quota, Route, Tier
from authz_service.core.verdict import Allow, Deny, OverLimit, Reason, Unavailable, Verdict

CREDENTIAL_HEADERS = ("x-api-key", "authorization")

# RFC 9110 section 11.6.1: a 401 names at least one scheme that could have worked.
_CHALLENGE = ("www-authenticate", 'ApiKey header="X-API-Key"')
_STORE_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """Let the request through, changed: for the application, for the client, for Envoy."""

    upstream_headers: Headers
    upstream_removed: tuple[str, ...]
    response_headers: Headers
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the client ourselves. `status` is an HTTP status code, `body` JSON."""

    status: int
    headers: Headers
    body: str
    metadata: Mapping[str, str]


Answer = Pass | Refuse


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    code: str
    message: str


def _unauthenticated(message: str) -> _Failure:
    return _Failure(401, "UNAUTHENTICATED", message)


# Unknown, disabled and expired keys read the same to an outsider; the log tells them apart.
_INVALID = _unauthenticated("The credential is not valid.")
_FAILURES: Mapping[Reason, _Failure] = {
    Reason.MISSING_CREDENTIAL: _unauthenticated("Send an API key in the X-API-Key header."),
    Reason.CREDENTIAL_IN_QUERY: _unauthenticated(
        "Credentials in the query string are not accepted; send the X-API-Key header."
    ),
    Reason.AMBIGUOUS_CREDENTIAL: _unauthenticated("Send exactly one credential."),
    Reason.MALFORMED_CREDENTIAL: _INVALID,
    Reason.UNSUPPORTED_SCHEME: _unauthenticated("This authorization scheme is not supported."),
    Reason.UNKNOWN_KEY: _INVALID,
    Reason.DISABLED_KEY: _INVALID,
    Reason.EXPIRED_KEY: _INVALID,
    Reason.UNKNOWN_TIER: _INVALID,
    Reason.MALFORMED_TOKEN: _INVALID,
    Reason.UNKNOWN_ISSUER: _INVALID,
    Reason.ALGORITHM_NOT_ALLOWED: _INVALID,
    Reason.UNKNOWN_SIGNING_KEY: _INVALID,
    Reason.BAD_SIGNATURE: _INVALID,
    Reason.EXPIRED_TOKEN: _INVALID,
    Reason.TOKEN_NOT_YET_VALID: _INVALID,
    Reason.TOKEN_LIVES_TOO_LONG: _INVALID,
    Reason.WRONG_TOKEN_TYPE: _INVALID,
    Reason.WRONG_AUDIENCE: _INVALID,
    Reason.INVALID_CLAIM: _INVALID,
    Reason.TIER_NOT_GRANTED: _INVALID,
    Reason.TIER_NOT_ALLOWED: _Failure(403, "FORBIDDEN", "Your tier may not do this."),
    Reason.MISSING_SCOPE: _Failure(403, "FORBIDDEN", "The credential lacks a scope."),
    Reason.METHOD_NOT_ALLOWED: _Failure(
        403, "FORBIDDEN", "This kind of credential may not do this."
    ),
    Reason.NETWORK_NOT_ALLOWED: _Failure(
        403, "FORBIDDEN", "The credential may not be used from this address."
    ),
    Reason.TOO_MANY_BAD_CREDENTIALS: _Failure(
        429, "RATE_LIMIT_EXCEEDED", "Too many invalid credentials. Please try again later."
    ),
    Reason.NO_ROUTE: _Failure(403, "FORBIDDEN", "This request is not allowed."),
    Reason.NO_CLIENT_ADDRESS: _Failure(403, "FORBIDDEN", "This request is not allowed."),
    Reason.RATE_LIMITED: _Failure(
        429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded. Please try again later."
    ),
    Reason.QUOTA_EXCEEDED: _Failure(429, "QUOTA_EXCEEDED", "Usage quota exceeded."),
    Reason.STORE_UNAVAILABLE: _Failure(
        503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable."
    ),
    Reason.KEY_STORE_UNAVAILABLE: _Failure(
        503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable."
    ),
    Reason.SIGNING_KEYS_UNAVAILABLE: _Failure(
        503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable."
    ),
    Reason.INTERNAL_ERROR: _Failure(
        503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable."
    ),
}


def respond(
    verdict: Verdict, *, tiers: Mapping[str, Tier], request_id: str, decision_id: str
) -> Answer:
    """The answer a verdict stands for. `request_id` goes into error bodies."""
    match verdict:
        case Allow():
            return _pass(verdict, tiers[verdict.identity.tier], decision_id)
        case Deny(reason, route):
            headers = (_CHALLENGE,) if _FAILURES[reason].status == 401 else ()  # noqa: PLR2004
            return _refuse(reason, request_id, _metadata(reason, decision_id, route), headers)
        case OverLimit():
            return _over_limit(verdict, request_id, decision_id)
        case Unavailable(reason, route, identity):
            metadata = _metadata(reason, decision_id, route, identity)
            return _refuse(reason, request_id, metadata, _retry_after(_STORE_RETRY_SECONDS))
        case _:
            assert_never(verdict)


def _pass(allow: Allow, tier: Tier, decision_id: str) -> Pass:
    identity, metered = allow.identity, allow.metered
    upstream = {
        "x-authz-subject": identity.subject,
        "x-authz-tier": identity.tier,
        "x-authz-method": identity.method.value,
        "x-authz-key-id": identity.key_id,
        "x-authz-max-upload-bytes": str(tier.max_upload_bytes),
        "x-authz-limits": (
            forwarded_limits(metered) if allow.route.forward_limits and metered else ""
        ),
    }
    unset = tuple(name for name, value in upstream.items() if not value)
    return Pass(
        upstream_headers=tuple((name, value) for name, value in upstream.items() if value),
        # A header we do not set must not survive from the client either.
        upstream_removed=CREDENTIAL_HEADERS + unset,
        response_headers=_told(metered) if metered else (),
        metadata=_metadata(Reason.OK, decision_id, allow.route, identity, metered),
    )


def _over_limit(over: OverLimit, request_id: str, decision_id: str) -> Refuse:
    failing = longest_wait(over.metered.readings)
    limit = failing.charge.limit
    reason = Reason.QUOTA_EXCEEDED if isinstance(limit, Quota) else Reason.RATE_LIMITED
    wait = seconds(failing.retry_after_ms)
    return _refuse(
        reason,
        request_id,
        _metadata(reason, decision_id, over.route, over.identity, over.metered),
        _retry_after(wait) + _told(over.metered),
        details={"limit": limit.name, "retry_after": wait},
    )


def _told(metered: Metered) -> Headers:
    """The limit headers, marked when they speak of this process alone; none without a count."""
    if not metered.readings:
        return ()
    if metered.scope is Scope.LOCAL:
        return (*limit_headers(metered), ("x-ratelimit-scope", "local"))
    return limit_headers(metered)


def _retry_after(wait_seconds: int) -> Headers:
    return (("retry-after", str(wait_seconds)),)


def _refuse(
    reason: Reason,
    request_id: str,
    metadata: Mapping[str, str],
    headers: Headers,
    details: Mapping[str, str | int] | None = None,
) -> Refuse:
    failure = _FAILURES[reason]
    error: dict[str, object] = {
        "code": failure.code,
        "message": failure.message,
        "request_id": request_id,
    }
    if details is not None:
        error["details"] = details
    return Refuse(
        status=failure.status,
        headers=(("content-type", "application/json"), *headers),
        body=json.dumps({"error": error}, separators=(",", ":")),
        metadata=metadata,
    )


def _metadata(
    reason: Reason,
    decision_id: str,
    route: Route | None,
    identity: Identity | None = None,
    metered: Metered | None = None,
) -> Mapping[str, str]:
    """What Envoy's body limit and access log read, on allow and on deny."""
    metadata = {"reason": reason.value, "decision_id": decision_id}
    if route is not None:
        metadata["route"] = route.name
    if identity is not None:
        metadata["subject"] = identity.subject
        metadata["tier"] = identity.tier
        metadata["method"] = identity.method.value
        metadata["key_id"] = identity.key_id
    if metered is not None and metered.scope is not Scope.SHARED:
        metadata["scope"] = metered.scope.value
    return metadata
