"""Bearer tokens: which provider is asked, with which key, and what is remembered of the answer."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from authz_service.core.claims import Grant, judge
from authz_service.core.identity import Identity
from authz_service.core.provider import Provider
from authz_service.core.token import Token, parse_token
from authz_service.core.verdict import Reason
from authz_service.identity.signing_keys import KeySet, SigningKey

MAX_REMEMBERED = 10_000


class Keys(Protocol):
    """The signing keys of one provider. Answers from memory."""

    def current(self) -> KeySet | None:
        """The keys to check with now, or None while there are none to rely on."""

    def look_again(self) -> None:
        """A token named a key that is not there: it may be new."""


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys from the configuration, which change with it alone."""

    keys: KeySet | None

    def current(self) -> KeySet | None:
        """The keys."""
        return self.keys

    def look_again(self) -> None:
        """Nothing comes of it."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A provider, and where its keys are."""

    provider: Provider
    keys: Keys


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A token that was verified, with what it was verified by."""

    grant: Grant
    key: SigningKey
    keys: Keys


class TokenVerifier:
    """Believes tokens of trusted providers, each chosen by the exact issuer.

    A token that was believed is remembered by its SHA-256, until it expires, its key goes, or
    others push it out. Refused ones are not: they cost one signature, and only who sends many of
    them would gain from a memory of them.
    """

    def __init__(
        self,
        trusted: Sequence[Trusted] = (),
        *,
        looked_up: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.sources = tuple(it.keys for it in trusted)
        self._by_issuer = {it.provider.issuer: it for it in trusted}
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._looked_up = looked_up

    def __len__(self) -> int:
        """How many tokens are remembered."""
        return len(self._remembered)

    def verify(self, token: bytes, now_ms: int) -> Identity | Reason:
        """Whom a token speaks for at `now_ms` (epoch), or why it is not believed."""
        digest = sha256(token).digest()
        known = self._recall(digest, now_ms)
        self._looked_up(known is not None)
        if known is not None:
            return known
        parsed = parse_token(token)
        if isinstance(parsed, Reason):
            return parsed
        trusted = self._issuer_of(parsed)
        if trusted is None:
            return Reason.UNKNOWN_ISSUER
        verified = _verified(parsed, trusted, now_ms)
        if isinstance(verified, Reason):
            return verified
        if now_ms < verified.grant.until_ms:  # what lives by the leeway alone is judged each time
            self._remember(digest, verified)
        return verified.grant.identity

    def _recall(self, digest: bytes, now_ms: int) -> Identity | None:
        found = self._remembered.get(digest)
        if found is None:
            return None
        keys = found.keys.current()
        is_valid = found.grant.from_ms <= now_ms < found.grant.until_ms
        if keys is None or found.key not in keys or not is_valid:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return found.grant.identity

    def _remember(self, digest: bytes, token: _Remembered) -> None:
        self._remembered[digest] = token
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _issuer_of(self, token: Token) -> Trusted | None:
        """Who is asked about it: the issuer's claim decides nothing else before the signature."""
        issuer = token.claims.get("iss")
        if issuer is not None and not isinstance(issuer, str):
            return None
        return self._by_issuer.get(issuer) or self._by_issuer.get(None)


def _verified(token: Token, trusted: Trusted, now_ms: int) -> _Remembered | Reason:
    """The signature first: before it is right, no claim is anybody's word."""
    key = _signing_key(token, trusted)
    if isinstance(key, Reason):
        return key
    if not key.verifies(token.algorithm, token.signed, token.signature):
        return Reason.BAD_SIGNATURE
    grant = judge(token, trusted.provider, now_ms)
    return grant if isinstance(grant, Reason) else _Remembered(grant, key, trusted.keys)


def _signing_key(token: Token, trusted: Trusted) -> SigningKey | Reason:
    if token.algorithm not in trusted.provider.algorithms:
        return Reason.ALGORITHM_NOT_ALLOWED
    keys = trusted.keys.current()
    if keys is None:
        return Reason.SIGNING_KEYS_UNAVAILABLE
    key = keys.select(token.key_id, token.algorithm)
    if key is Reason.UNKNOWN_SIGNING_KEY and token.key_id is not None:
        trusted.keys.look_again()
    return key
