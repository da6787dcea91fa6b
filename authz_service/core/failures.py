"""What each refusal looks like from outside: status, code, sentence.

The sentences are fixed texts: nothing that a client, a token or a key said is ever repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from authz_service.core.verdict import Reason


@dataclass(frozen=True, slots=True)
class Failure:
    """An HTTP status code, our error code and a sentence for people."""

    status: int
    code: str
    message: str


def _unauthenticated(message: str) -> Failure:
    return Failure(401, "UNAUTHENTICATED", message)


def _forbidden(message: str) -> Failure:
    return Failure(403, "FORBIDDEN", message)


def _too_many(code: str, message: str) -> Failure:
    return Failure(429, code, message)


# Unknown, disabled and expired keys read the same to an outsider, and so do all tokens that are
# not believed; the log tells them apart.
_INVALID: Final = _unauthenticated("The credential is not valid.")
_NOT_ALLOWED: Final = _forbidden("This request is not allowed.")
_UNAVAILABLE: Final = Failure(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.")

_MISSING_BOTH: Final = _unauthenticated(
    "Send an API key in the X-API-Key header or a bearer token in the Authorization header."
)

FAILURES: Final[Mapping[Reason, Failure]] = {
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
    Reason.TIER_NOT_ALLOWED: _forbidden("The caller's tier may not do this."),
    Reason.MISSING_SCOPE: _forbidden("The credential lacks a scope that this needs."),
    Reason.CREDENTIAL_NOT_ALLOWED: _forbidden("This kind of credential may not do this."),
    Reason.NETWORK_NOT_ALLOWED: _forbidden("The credential may not be used from this address."),
    Reason.NO_ROUTE: _NOT_ALLOWED,
    Reason.NO_CLIENT_ADDRESS: _NOT_ALLOWED,
    Reason.TOO_MANY_BAD_CREDENTIALS: _too_many(
        "RATE_LIMIT_EXCEEDED", "Too many invalid credentials. Please try again later."
    ),
    Reason.RATE_LIMITED: _too_many(
        "RATE_LIMIT_EXCEEDED", "Rate limit exceeded. Please try again later."
    ),
    Reason.QUOTA_EXCEEDED: _too_many("QUOTA_EXCEEDED", "Usage quota exceeded."),
    Reason.STORE_UNAVAILABLE: _UNAVAILABLE,
    Reason.KEY_STORE_UNAVAILABLE: _UNAVAILABLE,
    Reason.SIGNING_KEYS_UNAVAILABLE: _UNAVAILABLE,
    Reason.INTERNAL_ERROR: _UNAVAILABLE,
}
"""Every reason but `OK`."""


def failure(reason: Reason, *, accepts_tokens: bool) -> Failure:
    """What a reason looks like. Tokens are asked for only where some could be believed."""
    if reason is Reason.MISSING_CREDENTIAL and accepts_tokens:
        return _MISSING_BOTH
    return FAILURES[reason]
