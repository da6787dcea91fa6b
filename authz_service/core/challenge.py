"""How a refused client is told which credential would do: `WWW-Authenticate`.

RFC 9110 section 11.6.1: a 401 names at least one scheme that could have worked. RFC 6750 section 3
says how bearer tokens are asked for, and what an error of theirs is called.
"""

from typing import Final

from authz_service.core.verdict import Reason

_API_KEY: Final = 'ApiKey header="X-API-Key"'
_OF_TOKENS: Final = frozenset(
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


def challenge(reason: Reason, *, accepts_tokens: bool) -> str:
    """The challenges of a 401. Bearer tokens are offered only where some could be believed."""
    if not accepts_tokens:
        return _API_KEY
    bearer = 'Bearer error="invalid_token"' if reason in _OF_TOKENS else "Bearer"
    return f"{_API_KEY}, {bearer}"


def scope_challenge(scopes: tuple[str, ...]) -> str:
    """The challenge of a 403 for a token without these scopes (RFC 6750 section 3.1)."""
    return f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
