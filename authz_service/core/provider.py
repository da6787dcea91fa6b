"""Who issues tokens: what a policy says of a provider, and what its tokens must keep to.

Values only. `policy/providers.py` builds them from a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The least length of a secret is that of the hash (RFC 7518 section 3.2).
SECRET_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}

# This variable makes a provider of its own, which accepts more than those of a policy.
JWT_SECRET: Final = "JWT_SECRET"  # noqa: S105 - the name of a variable

# A token without a type is taken for one of these (RFC 7519 section 5.1).
PLAIN_TYPE: Final = "jwt"
DEFAULT_TYPES: Final = ("JWT", "at+jwt")
DEFAULT_TIER: Final = "free"
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class SecretVariable:
    """A shared secret in a variable of the environment."""

    name: str


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A shared secret in a file. Relative names start at the policy's folder, here and below."""

    file: str


@dataclass(frozen=True, slots=True)
class PemFile:
    """One public key."""

    file: str


@dataclass(frozen=True, slots=True)
class JwksFile:
    """A set of public keys (RFC 7517)."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksUrl:
    """A set of public keys that the provider publishes, fetched and kept up to date.

    `ca_file` holds the authorities that the server's certificate must come from, in place of the
    system's. A set older than `max_age_ms` is used no more; keys that are asked for in vain have
    it fetched anew at most once in `cooldown_ms`.
    """

    url: str
    ca_file: str | None = None
    refresh_ms: int = 300_000
    max_age_ms: int = DAY_MS
    cooldown_ms: int = 30_000


KeySource = SecretVariable | SecretFile | PemFile | JwksFile | JwksUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A token provider. `name` stands in the subjects of its callers.

    Without an `issuer` it speaks for every issuer that no other provider has, and without
    `audiences` its tokens may be meant for anyone. `types` are lower-case and without
    `application/`. `tiers` are all that its tokens may have.
    """

    name: str
    issuer: str | None
    audiences: frozenset[str]
    algorithms: frozenset[str]
    keys: KeySource
    default_tier: str
    tiers: frozenset[str]
    types: frozenset[str] = frozenset(map(str.lower, DEFAULT_TYPES))
    subject_claim: str = "sub"
    tier_claim: str = "tier"
    scope_claim: str = "scope"
    max_lifetime_ms: int = DAY_MS
    leeway_ms: int = 30_000


def normal_type(text: str) -> str:
    """A `typ` as it is compared: a media type without its `application/` (RFC 7515 4.1.9)."""
    return text.lower().removeprefix("application/")
