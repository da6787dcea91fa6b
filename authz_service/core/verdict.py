"""The vocabulary of decisions. Allow, deny, over limit and unavailable are different types."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from authz_service.core.identity import Identity
from authz_service.core.meter import Metered
from authz_service.core.rules import Route


class Reason(StrEnum):
    """Why a request was answered as it was: stable names for logs, metrics and metadata."""

    OK = "ok"
    MISSING_CREDENTIAL = "missing_credential"
    CREDENTIAL_IN_QUERY = "credential_in_query"
    AMBIGUOUS_CREDENTIAL = "ambiguous_credential"
    MALFORMED_CREDENTIAL = "malformed_credential"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    UNKNOWN_KEY = "unknown_key"
    DISABLED_KEY = "disabled_key"
    EXPIRED_KEY = "expired_key"
    UNKNOWN_TIER = "unknown_tier"
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - a name, not a secret
    UNKNOWN_ISSUER = "unknown_issuer"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    UNKNOWN_SIGNING_KEY = "unknown_signing_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - a name, not a secret
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105 - a name, not a secret
    TOKEN_LIVES_TOO_LONG = "token_lives_too_long"  # noqa: S105 - a name, not a secret
    WRONG_TOKEN_TYPE = "wrong_token_type"  # noqa: S105 - a name, not a secret
    WRONG_AUDIENCE = "wrong_audience"
    INVALID_CLAIM = "invalid_claim"
    TIER_NOT_GRANTED = "tier_not_granted"
    TOO_MANY_BAD_CREDENTIALS = "too_many_bad_credentials"
    TIER_NOT_ALLOWED = "tier_not_allowed"
    MISSING_SCOPE = "missing_scope"
    CREDENTIAL_NOT_ALLOWED = "credential_not_allowed"
    NETWORK_NOT_ALLOWED = "network_not_allowed"
    NO_ROUTE = "no_route"
    NO_CLIENT_ADDRESS = "no_client_address"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORE_UNAVAILABLE = "store_unavailable"
    KEY_STORE_UNAVAILABLE = "key_store_unavailable"
    SIGNING_KEYS_UNAVAILABLE = "signing_keys_unavailable"
    INTERNAL_ERROR = "internal_error"


UNAVAILABLE_REASONS: Final = frozenset(
    {
        Reason.STORE_UNAVAILABLE,
        Reason.KEY_STORE_UNAVAILABLE,
        Reason.SIGNING_KEYS_UNAVAILABLE,
        Reason.INTERNAL_ERROR,
    }
)
"""Those that speak of us and not of the caller: 503, never 401."""

TOKEN_REASONS: Final = frozenset(
    {
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
    }
)
"""Why a bearer token is not believed."""

BAD_CREDENTIALS: Final = TOKEN_REASONS | {
    Reason.CREDENTIAL_IN_QUERY,
    Reason.AMBIGUOUS_CREDENTIAL,
    Reason.MALFORMED_CREDENTIAL,
    Reason.UNSUPPORTED_SCHEME,
    Reason.UNKNOWN_KEY,
    Reason.DISABLED_KEY,
    Reason.EXPIRED_KEY,
    Reason.UNKNOWN_TIER,
}
"""Reasons that stand for a credential presented and not believed: those that a guesser meets."""


@dataclass(frozen=True, slots=True)
class Allow:
    """The request may pass. `metered` is None where the route takes from no limit."""

    route: Route
    identity: Identity
    metered: Metered | None


@dataclass(frozen=True, slots=True)
class Deny:
    """The request may not pass, whoever asks again: 401 or 403."""

    reason: Reason
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Forbid:
    """A known caller may not do this: 403. `needs` are the policy's words for what would do."""

    reason: Reason
    route: Route
    identity: Identity
    metered: Metered | None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Throttle:
    """An address has presented too many bad credentials: 429, for `retry_after_ms`."""

    route: Route
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class OverLimit:
    """A known caller has nothing left: 429."""

    route: Route
    identity: Identity
    metered: Metered


@dataclass(frozen=True, slots=True)
class Unavailable:
    """We could not decide: 503, never an allow."""

    reason: Reason
    route: Route | None = None
    identity: Identity | None = None


Decided = Allow | Deny | Forbid | Throttle | OverLimit | Unavailable
"""What a route that enforces its rules says."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """The request passes as `identity` whatever was decided, because the route is in shadow."""

    decided: Decided
    route: Route
    identity: Identity


Verdict = Decided | Shadow
