"""How a refused client is told which credential would do: `WWW-Authenticate`.

RFC 9110 section 11.6.1: a 401 names at least one scheme that could have worked. RFC 6750 section 3
says how bearer tokens are asked for, and what an error of theirs is called.
"""

from typing import Final

from authz_service.core.verdict import TOKEN_REASONS, Reason

_API_KEY: Final = 'ApiKey header="X-API-Key"'


def challenge(reason: Reason, *, accepts_tokens: bool) -> str:
    """The challenges of a 401. Bearer tokens are offered only where some could be believed."""
    if not accepts_tokens:
        return _API_KEY
    bearer = 'Bearer error="invalid_token"' if reason in TOKEN_REASONS else "Bearer"
    return f"{_API_KEY}, {bearer}"


def scope_challenge(scopes: tuple[str, ...]) -> str:
    """The challenge of a 403 for a token without these scopes (RFC 6750 section 3.1)."""
    return f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
