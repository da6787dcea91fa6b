"""The vocabulary of decisions. Allow, deny, over limit and unavailable are different types."""

from dataclasses import dataclass
from enum import StrEnum

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
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a name, not a secret
    NO_ROUTE = "no_route"
    NO_CLIENT_ADDRESS = "no_client_address"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL_ERROR = "internal_error"


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


Verdict = Allow | Deny | OverLimit | Unavailable
