"""What a policy says of token providers, as values."""

from typing import Final

from authz_service.core.provider import (
    JwksFile,
    JwksUrl,
    KeySource,
    PemFile,
    Provider,
    SecretFile,
    SecretVariable,
    normal_type,
)
from authz_service.policy.schema import ProviderPart

FILE_KEYS: Final = ("secret_file", "pem_file", "jwks_file", "jwks_ca_file")
"""The keys that name files to follow."""


def provider(part: ProviderPart) -> Provider:
    """A provider, from a part that keeps every rule."""
    return Provider(
        name=part.name,
        issuer=part.issuer,
        audiences=frozenset(part.audiences),
        algorithms=frozenset(part.algorithms),
        keys=_keys(part),
        types=frozenset(map(normal_type, part.types)),
        subject_claim=part.subject_claim,
        tier_claim=part.tier_claim,
        scope_claim=part.scope_claim,
        default_tier=part.default_tier,
        tiers=frozenset({*part.tiers, part.default_tier}),
        max_lifetime_ms=part.max_lifetime,
        leeway_ms=part.leeway,
    )


def _keys(part: ProviderPart) -> KeySource:
    if part.secret_env is not None:
        return SecretVariable(part.secret_env)
    if part.secret_file is not None:
        return SecretFile(part.secret_file)
    if part.pem_file is not None:
        return PemFile(part.pem_file)
    if part.jwks_file is not None:
        return JwksFile(part.jwks_file)
    return jwks_url(part)


def jwks_url(part: ProviderPart) -> JwksUrl:
    """The URL with what is said of it, and the defaults of what is not."""
    said = {
        "refresh_ms": part.jwks_refresh,
        "max_age_ms": part.jwks_max_age,
        "cooldown_ms": part.jwks_cooldown,
    }
    given = {name: value for name, value in said.items() if value is not None}
    return JwksUrl(url=part.jwks_url or "", ca_file=part.jwks_ca_file, **given)
