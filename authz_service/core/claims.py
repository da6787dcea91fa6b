"""What a verified token says, judged: a caller, or the reason it speaks for none.

The signature is known to be right, so every claim is the issuer's word. It counts only as far as
the policy trusts the issuer.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from authz_service.core.identity import Identity, Method
from authz_service.core.provider import PLAIN_TYPE, Provider, normal_type
from authz_service.core.token import Token
from authz_service.core.verdict import Reason

MAX_SCOPES = 64

_DATES = ("exp", "nbf", "iat")
# Printable ASCII without what separates the parts of a subject or widens a pattern.
_SUBJECT = re.compile(r"[!-)+-9;-~]{1,256}")
_SCOPE = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom a token speaks for, and from when (included) until when (not) that needs no new look.

    Both moments are epoch milliseconds.
    """

    identity: Identity
    from_ms: float
    until_ms: float


def judge(token: Token, provider: Provider, now_ms: int) -> Grant | Reason:
    """Whom a token speaks for at `now_ms` (epoch), or why it does not."""
    if normal_type(PLAIN_TYPE if token.type is None else token.type) not in provider.types:
        return Reason.WRONG_TOKEN_TYPE
    validity = _validity(token.claims, provider, now_ms)
    if isinstance(validity, Reason):
        return validity
    if refused := _audience_problem(token.claims.get("aud"), provider):
        return refused
    identity = _identity(token.claims, provider)
    return identity if isinstance(identity, Reason) else Grant(identity, *validity)


def _validity(
    claims: Mapping[str, object], provider: Provider, now_ms: int
) -> tuple[float, float] | Reason:
    """From when until when a token is good without any leeway at its end."""
    dates = _dates(claims)
    if dates is None:
        return Reason.INVALID_CLAIM
    expires, begins = dates["exp"], max(dates.get("nbf", 0), dates.get("iat", 0))
    if expires + provider.leeway_ms <= now_ms:
        return Reason.EXPIRED_TOKEN
    if begins - provider.leeway_ms > now_ms:
        return Reason.TOKEN_NOT_YET_VALID
    # A token that does not say since when it lives has at least the rest of its life ahead.
    issued = dates.get("iat", now_ms)
    if expires - issued > provider.max_lifetime_ms:
        return Reason.TOKEN_LIVES_TOO_LONG
    earliest = 0 if "iat" in dates else expires - provider.max_lifetime_ms
    return max(begins - provider.leeway_ms, earliest), expires


def _dates(claims: Mapping[str, object]) -> Mapping[str, float] | None:
    """Every NumericDate (RFC 7519 section 2) in milliseconds; None without a right `exp`."""
    dates: dict[str, float] = {}
    for name in _DATES:
        if name not in claims:
            continue
        value = claims[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not 0 <= value < math.inf:
            return None
        dates[name] = value * 1000
    return dates if "exp" in dates else None


def _audience_problem(audience: object, provider: Provider) -> Reason | None:
    """RFC 7519 section 4.1.3: one string or several, of which one must be ours, case included."""
    if not provider.audiences:
        return None
    named = audience if isinstance(audience, list) else [audience]
    if audience is not None and not all(isinstance(it, str) for it in named):
        return Reason.INVALID_CLAIM
    return None if provider.audiences.intersection(named) else Reason.WRONG_AUDIENCE


def _identity(claims: Mapping[str, object], provider: Provider) -> Identity | Reason:
    subject = claims.get(provider.subject_claim)
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        return Reason.INVALID_CLAIM
    tier = claims.get(provider.tier_claim, provider.default_tier)
    if not isinstance(tier, str):
        return Reason.INVALID_CLAIM
    if tier not in provider.tiers:
        return Reason.TIER_NOT_GRANTED
    scopes = _scopes(claims.get(provider.scope_claim, ""))
    if scopes is None:
        return Reason.INVALID_CLAIM
    return Identity(
        subject=f"jwt:{provider.name}:{subject}", tier=tier, method=Method.JWT, scopes=scopes
    )


def _scopes(value: object) -> tuple[str, ...] | None:
    """A list, or one string with single spaces between (RFC 6749 section 3.3)."""
    if isinstance(value, str):
        value = value.split(" ") if value else []
    if not isinstance(value, list) or len(value) > MAX_SCOPES:
        return None
    if not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in value):
        return None
    return tuple(value)
