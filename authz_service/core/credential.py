"""Stage 0, what was presented: headers and query to one credential, none, or a malformed one.

Nothing is trimmed, folded or tried twice: a credential that needs interpreting is refused.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from authz_service.core.api_key import is_acceptable
from authz_service.core.facts import Facts
from authz_service.core.verdict import Reason

MAX_TOKEN_BYTES = 8192

_QUERY_NAMES = frozenset({"api_key", "apikey", "x-api-key", "access_token"})
_BEARER = re.compile(rb"bearer ([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)  # RFC 6750 section 2.1


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed API key, not yet known to be one of ours."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A well-formed bearer token, not yet verified."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoCredential:
    """The client presented nothing."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """The client presented something that is no single credential."""

    reason: Reason


Presented = ApiKey | BearerToken | NoCredential | Malformed


def present(facts: Facts) -> Presented:
    """What the client presented. Two credentials are never weighed against each other."""
    if facts.query and _names_a_credential(facts.query):
        return Malformed(Reason.CREDENTIAL_IN_QUERY)
    count = len(facts.api_keys) + len(facts.authorizations)
    if count == 0:
        return NoCredential()
    if count > 1:
        return Malformed(Reason.AMBIGUOUS_CREDENTIAL)
    if facts.api_keys:
        return _api_key(facts.api_keys[0])
    return _authorization(facts.authorizations[0])


def _names_a_credential(query: str) -> bool:
    """Whether a query parameter has the name of a credential, however it is encoded."""
    pairs = query.replace(";", "&").split("&")
    return any(unquote(pair.partition("=")[0]).lower() in _QUERY_NAMES for pair in pairs)


def _api_key(value: bytes) -> Presented:
    if not is_acceptable(value):
        return Malformed(Reason.MALFORMED_CREDENTIAL)
    return ApiKey(value)


def _authorization(value: bytes) -> Presented:
    if len(value) > MAX_TOKEN_BYTES:
        return Malformed(Reason.MALFORMED_CREDENTIAL)
    bearer = _BEARER.fullmatch(value)
    if bearer is not None:
        return BearerToken(bearer[1])
    if value[:6].lower() == b"bearer":
        return Malformed(Reason.MALFORMED_CREDENTIAL)
    return Malformed(Reason.UNSUPPORTED_SCHEME)
