"""The provider that `JWT_SECRET` alone makes: for a secret shared with one's own application."""

from collections.abc import Collection, Sequence
from typing import Final

from authz_service.core.identify import ANONYMOUS_TIER
from authz_service.core.provider import DEFAULT_TIER, JWT_SECRET, Provider, SecretVariable
from authz_service.errors import ConfigurationError

NAME: Final = "default"


def simple_provider(tiers: Collection[str], *, taken: Sequence[Provider]) -> Provider:
    """HS256, any issuer that is not `taken`, any audience, and every tier but `anonymous`.

    Raises:
        ConfigurationError: the policy has no tier for tokens that name none, or uses the name.
    """
    if DEFAULT_TIER not in tiers:
        raise ConfigurationError(
            [f"{JWT_SECRET}: needs a tier named {DEFAULT_TIER!r}, for tokens that name no tier"]
        )
    if any(provider.name == NAME for provider in taken):
        raise ConfigurationError(
            [f"{JWT_SECRET}: makes a provider named {NAME!r}, and the policy has one of that name"]
        )
    return Provider(
        name=NAME,
        issuer=None,
        audiences=frozenset(),
        algorithms=frozenset({"HS256"}),
        keys=SecretVariable(JWT_SECRET),
        default_tier=DEFAULT_TIER,
        tiers=frozenset(tiers) - {ANONYMOUS_TIER},
    )
