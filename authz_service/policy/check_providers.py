"""Rules of token providers that span several values."""

from authz_service.core.identify import ANONYMOUS_TIER
from authz_service.core.provider import JWT_SECRET, SECRET_BYTES
from authz_service.policy.merge import Merged
from authz_service.policy.problem import Path, Rule
from authz_service.policy.providers import jwks_url
from authz_service.policy.schema import ProviderPart
from authz_service.policy.shape import well_formed

_SECRETS = ("secret_env", "secret_file")
_PUBLIC = ("pem_file", "jwks_file", "jwks_url")
_OF_URL = ("jwks_ca_file", "jwks_refresh", "jwks_max_age", "jwks_cooldown")


def check_providers(merged: Merged) -> None:
    """Report what is wrong among the providers that are right in themselves."""
    providers = list(well_formed(merged, "jwt", ProviderPart))
    for key in ("name", "issuer"):
        _check_unique(merged, providers, key)
    for path, part in providers:
        _check_keys(merged, path, part)
        _check_algorithms(merged, path, part)
        _check_tiers(merged, path, part)


def _check_unique(merged: Merged, providers: list[tuple[Path, ProviderPart]], key: str) -> None:
    first: dict[str, Path] = {}
    for path, part in providers:
        where, value = (*path, key), getattr(part, key)
        if first.setdefault(value, path) != path:
            shown = merged.shown(where, value)
            merged.report(Rule.JWT_TWICE, where, f"{shown} is the {key} of another provider too")


def _check_keys(merged: Merged, path: Path, part: ProviderPart) -> None:
    given = part.model_fields_set
    sources = [key for key in (*_SECRETS, *_PUBLIC) if getattr(part, key) is not None]
    if len(sources) != 1:
        known = ", ".join((*_SECRETS, *_PUBLIC))
        merged.report(Rule.JWT_KEYS, path, f"needs exactly one of {known}")
    for key in _OF_URL:
        if key in given and part.jwks_url is None:
            merged.report(Rule.JWT_KEYS, (*path, key), "belongs to a jwks_url")
    if part.secret_env == JWT_SECRET:
        merged.report(
            Rule.JWT_KEYS,
            (*path, "secret_env"),
            f"{JWT_SECRET} makes a provider of its own; name the variable otherwise",
        )
    url = jwks_url(part)
    if part.jwks_url is not None and url.max_age_ms < url.refresh_ms:
        key = "jwks_max_age" if "jwks_max_age" in given else "jwks_refresh"
        merged.report(
            Rule.JWT_KEYS, (*path, key), "would use keys no longer than until the next fetch"
        )


def _check_algorithms(merged: Merged, path: Path, part: ProviderPart) -> None:
    """One family alone: a public key that is taken for a secret lets everybody in."""
    where = (*path, "algorithms")
    symmetric = [algorithm in SECRET_BYTES for algorithm in part.algorithms]
    if any(symmetric) and not all(symmetric):
        merged.report(Rule.JWT_ALGORITHMS, where, "mixes HS algorithms with others")
        return
    wrong = _PUBLIC if all(symmetric) else _SECRETS
    kind = "a secret" if all(symmetric) else "public keys"
    for key in wrong:
        if getattr(part, key) is not None:
            merged.report(Rule.JWT_ALGORITHMS, where, f"need {kind}, which {key} does not hold")


def _check_tiers(merged: Merged, path: Path, part: ProviderPart) -> None:
    tiers = merged.data.get("tiers")
    known = [name for name in tiers if name != ANONYMOUS_TIER] if isinstance(tiers, dict) else []
    named = [((*path, "tiers", place), name) for place, name in enumerate(part.tiers)]
    for where, name in [((*path, "default_tier"), part.default_tier), *named]:
        shown = merged.shown(where, name)
        if name == ANONYMOUS_TIER:
            merged.report(Rule.JWT_TIER, where, f"{shown} is for callers without a credential")
        elif name not in known:
            listed = dict.fromkeys(str(merged.variable(("tiers", it)) or it) for it in known)
            merged.report(
                Rule.JWT_TIER, where, f"{shown} is none of the policy's tiers: {', '.join(listed)}"
            )
