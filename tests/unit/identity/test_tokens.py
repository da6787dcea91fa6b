"""Tokens: whom each is asked of, what is remembered, and what the memory never outlives."""

import hashlib

import pytest

from authz_service.core.identity import Identity, Method
from authz_service.core.provider import Provider
from authz_service.core.verdict import Reason
from authz_service.identity.signing_keys import KeySet, SigningKey, public_key, secret_key
from authz_service.identity.tokens import MAX_REMEMBERED, FixedKeys, Keys, TokenVerifier, Trusted
from authz_service.testing.tokens import (
    ISSUER,
    NOW_S,
    SECRET,
    Signer,
    claims,
    encoded,
    provider,
    segment,
    signer,
)

NOW_MS = NOW_S * 1000
ONE, TWO = signer("ES256", "one"), signer("ES256", "two")
ADA = Identity(subject="jwt:login:ada", tier="free", method=Method.JWT)


class ChangingKeys:
    """Keys that change as a test says."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys: KeySet | None = KeySet(keys)
        self.looks = 0

    def current(self) -> KeySet | None:
        """The keys of the moment."""
        return self.keys

    def look_again(self) -> None:
        """Counted."""
        self.looks += 1


def key_of(signer: Signer) -> SigningKey:
    """The public half of a signer's key."""
    return public_key(signer.key.public_key(), frozenset({signer.algorithm}), key_id=signer.key_id)


def verifier(keys: Keys, one: Provider | None = None) -> TokenVerifier:
    """Trusts one provider with these keys."""
    return TokenVerifier([Trusted(one or provider("ES256"), keys)])


def test_a_right_token_speaks_for_its_subject() -> None:
    """Signed by a key of the issuer, and judged by the provider's rules."""
    assert verifier(FixedKeys(KeySet([key_of(ONE)]))).verify(ONE.token(), NOW_MS) == ADA


@pytest.mark.parametrize(
    "iss",
    [
        "https://other.example.com/",
        ISSUER[:-1],
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER + "\0",
        "",
        None,
        [ISSUER],
        {"a": ISSUER},
        1,
        True,
    ],
)
def test_an_issuer_is_trusted_by_its_exact_name(iss: object) -> None:
    """Neither a part of it nor a list that holds it will do."""
    said = {**claims(), "iss": iss}
    found = verifier(FixedKeys(KeySet([key_of(ONE)]))).verify(ONE.token(said), NOW_MS)
    assert found is Reason.UNKNOWN_ISSUER


def test_a_token_without_an_issuer_is_of_nobody() -> None:
    """Unless one provider speaks for all others."""
    token = ONE.token(claims(iss=None))
    keys = FixedKeys(KeySet([key_of(ONE)]))
    assert verifier(keys).verify(token, NOW_MS) is Reason.UNKNOWN_ISSUER
    assert verifier(keys, provider("ES256", issuer=None)).verify(token, NOW_MS) == ADA


def test_each_issuer_has_keys_of_its_own() -> None:
    """One provider's key signs nothing for another."""
    other = "https://other.example.com"
    trusting = TokenVerifier(
        [
            Trusted(provider("ES256"), FixedKeys(KeySet([key_of(ONE)]))),
            Trusted(
                provider("ES256", name="other", issuer=other), FixedKeys(KeySet([key_of(TWO)]))
            ),
        ]
    )
    assert trusting.verify(ONE.token(), NOW_MS) == ADA
    assert trusting.verify(TWO.token(claims(iss=other)), NOW_MS) == Identity(
        subject="jwt:other:ada", tier="free", method=Method.JWT
    )
    stranger = Signer("ES256", TWO.key, "one")
    assert trusting.verify(stranger.token(), NOW_MS) is Reason.BAD_SIGNATURE
    assert trusting.verify(TWO.token(), NOW_MS) is Reason.UNKNOWN_SIGNING_KEY


def test_a_provider_for_all_others_gets_nothing_of_those_that_are_named() -> None:
    """Its secret makes no token of a named issuer."""
    secret = FixedKeys(KeySet([secret_key(SECRET, frozenset({"HS256"}))]))
    trusting = TokenVerifier(
        [
            Trusted(provider("ES256"), FixedKeys(KeySet([key_of(ONE)]))),
            Trusted(provider("HS256", name="default", issuer=None, audiences=()), secret),
        ]
    )
    simple = signer("HS256")
    assert trusting.verify(simple.token(), NOW_MS) is Reason.ALGORITHM_NOT_ALLOWED
    for iss in (None, "", "anything"):
        found = trusting.verify(simple.token(claims(iss=iss)), NOW_MS)
        assert isinstance(found, Identity)
        assert found.subject == "jwt:default:ada"
    assert trusting.verify(ONE.token(claims(iss="x")), NOW_MS) is Reason.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b"a.b.c", Reason.MALFORMED_TOKEN),
        (ONE.token(claims(iss="x"), alg="none"), Reason.UNKNOWN_ISSUER),
        (ONE.token(claims(exp=1), alg="ES384"), Reason.ALGORITHM_NOT_ALLOWED),
        (ONE.token(claims(exp=1), kid="three"), Reason.UNKNOWN_SIGNING_KEY),
        (ONE.token(claims(exp=1), kid="two"), Reason.BAD_SIGNATURE),
        (ONE.token(claims(exp=1), typ="x"), Reason.WRONG_TOKEN_TYPE),
        (ONE.token(claims(exp=1, aud="x")), Reason.EXPIRED_TOKEN),
        (ONE.token(claims(nbf=NOW_S + 31, aud="x")), Reason.TOKEN_NOT_YET_VALID),
        (ONE.token(claims(exp=NOW_S + 86_400, aud="x")), Reason.TOKEN_LIVES_TOO_LONG),
        (ONE.token(claims(aud="x", sub="")), Reason.WRONG_AUDIENCE),
        (ONE.token(claims(sub="", tier="gold")), Reason.INVALID_CLAIM),
        (ONE.token(claims(tier="gold")), Reason.TIER_NOT_GRANTED),
    ],
)
def test_the_first_thing_that_is_wrong_is_the_reason(token: bytes, reason: Reason) -> None:
    """Nothing a token claims is judged before its signature is right."""
    keys = FixedKeys(KeySet([key_of(ONE), key_of(TWO)]))
    assert verifier(keys).verify(token, NOW_MS) is reason


def test_a_changed_token_is_another_token() -> None:
    """A byte of claims or signature changed, and the signature is wrong."""
    header, said, signature = ONE.token().split(b".")
    trusting = verifier(FixedKeys(KeySet([key_of(ONE)])))
    assert trusting.verify(b".".join([header, said, signature]), NOW_MS) == ADA
    for other in (segment(claims(tier="pro")), segment({**claims(), "more": 1})):
        found = trusting.verify(b".".join([header, other, signature]), NOW_MS)
        assert found is Reason.BAD_SIGNATURE
    found = trusting.verify(b".".join([header, said, encoded(bytes(64))]), NOW_MS)
    assert found is Reason.BAD_SIGNATURE


def test_a_verified_token_is_not_verified_again() -> None:
    """The second time it is remembered, and told to be."""
    looked_up: list[bool] = []
    keys = ChangingKeys(key_of(ONE))
    trusting = TokenVerifier([Trusted(provider("ES256"), keys)], looked_up=looked_up.append)
    token = ONE.token()
    assert [trusting.verify(token, NOW_MS) for _ in range(3)] == [ADA] * 3
    assert looked_up == [False, True, True]
    assert len(trusting) == 1


def test_a_refused_token_is_not_remembered() -> None:
    """Whoever sends a million of them fills nothing."""
    trusting = verifier(FixedKeys(KeySet([key_of(ONE)])))
    for sub in range(50):
        trusting.verify(TWO.token(claims(sub=str(sub))), NOW_MS)
        trusting.verify(ONE.token(claims(sub=str(sub), exp=1)), NOW_MS)
        trusting.verify(str(sub).encode(), NOW_MS)
    assert len(trusting) == 0


def test_memory_ends_with_the_token() -> None:
    """At `exp` it is judged anew, within the leeway each time, and refused after it."""
    trusting, token = verifier(FixedKeys(KeySet([key_of(ONE)]))), ONE.token()
    expires_ms = NOW_MS + 600_000
    assert trusting.verify(token, expires_ms - 1) == ADA
    assert len(trusting) == 1
    assert trusting.verify(token, expires_ms) == ADA
    assert len(trusting) == 0
    assert trusting.verify(token, expires_ms + 29_999) == ADA
    assert trusting.verify(token, expires_ms + 30_000) is Reason.EXPIRED_TOKEN


def test_a_clock_that_is_set_back_is_believed() -> None:
    """A token from the future is refused then, remembered or not, and good again later."""
    trusting, token = verifier(FixedKeys(KeySet([key_of(ONE)]))), ONE.token()
    assert trusting.verify(token, NOW_MS) == ADA
    assert trusting.verify(token, NOW_MS - 60_000) is Reason.TOKEN_NOT_YET_VALID
    assert trusting.verify(token, NOW_MS) == ADA


def test_a_key_that_is_gone_takes_its_tokens_along() -> None:
    """Rotated away after it was stolen, it signs nobody in, not even who was in before."""
    keys = ChangingKeys(key_of(ONE), key_of(TWO))
    trusting = verifier(keys)
    mine, other = ONE.token(), TWO.token()
    assert trusting.verify(mine, NOW_MS) == trusting.verify(other, NOW_MS) == ADA
    keys.keys = KeySet([key_of(TWO)])
    assert trusting.verify(mine, NOW_MS) is Reason.UNKNOWN_SIGNING_KEY
    assert trusting.verify(other, NOW_MS) == ADA
    assert len(trusting) == 1


def test_a_key_that_is_replaced_under_its_name_takes_its_tokens_along() -> None:
    """The name is the same, the key is not."""
    keys = ChangingKeys(key_of(ONE))
    trusting, token = verifier(keys), ONE.token()
    assert trusting.verify(token, NOW_MS) == ADA
    keys.keys = KeySet([key_of(Signer("ES256", TWO.key, "one"))])
    assert trusting.verify(token, NOW_MS) is Reason.BAD_SIGNATURE


def test_a_set_that_is_fetched_anew_keeps_its_tokens() -> None:
    """As long as the key is in it: no burst of work with every refresh."""
    looked_up: list[bool] = []
    keys = ChangingKeys(key_of(ONE))
    trusting = TokenVerifier([Trusted(provider("ES256"), keys)], looked_up=looked_up.append)
    token = ONE.token()
    trusting.verify(token, NOW_MS)
    keys.keys = KeySet([key_of(ONE), key_of(TWO)])
    assert trusting.verify(token, NOW_MS) == ADA
    assert looked_up == [False, True]


def test_without_keys_we_cannot_say() -> None:
    """Before the first set and after the last one it is our fault: remembered tokens too."""
    keys = ChangingKeys(key_of(ONE))
    trusting, token = verifier(keys), ONE.token()
    assert trusting.verify(token, NOW_MS) == ADA
    keys.keys = None
    assert trusting.verify(token, NOW_MS) is Reason.SIGNING_KEYS_UNAVAILABLE
    assert trusting.verify(ONE.token(alg="HS256"), NOW_MS) is Reason.ALGORITHM_NOT_ALLOWED
    assert keys.looks == 0


def test_an_unknown_key_is_looked_for() -> None:
    """It may be new. A token that names none, or one of another kind, asks for nothing."""
    keys = ChangingKeys(key_of(ONE), key_of(TWO))
    trusting = verifier(keys, provider("ES256", "ES384"))
    assert trusting.verify(ONE.token(kid="new"), NOW_MS) is Reason.UNKNOWN_SIGNING_KEY
    assert keys.looks == 1
    nameless = Signer("ES256", ONE.key)
    assert trusting.verify(nameless.token(), NOW_MS) is Reason.UNKNOWN_SIGNING_KEY
    assert trusting.verify(ONE.token(alg="ES384"), NOW_MS) is Reason.ALGORITHM_NOT_ALLOWED
    assert keys.looks == 1


def test_the_memory_is_bounded() -> None:
    """The one that was used least recently goes first."""
    trusting = verifier(
        FixedKeys(KeySet([secret_key(SECRET, frozenset({"HS256"}))])), provider("HS256")
    )
    simple = signer("HS256")
    first, second = simple.token(claims(sub="first")), simple.token(claims(sub="second"))
    trusting.verify(first, NOW_MS)
    trusting.verify(second, NOW_MS)
    for number in range(MAX_REMEMBERED - 1):
        if number == 100:
            trusting.verify(first, NOW_MS)
        trusting.verify(simple.token(claims(sub=str(number))), NOW_MS)
    assert len(trusting) == MAX_REMEMBERED
    remembered = trusting._remembered
    assert hashlib.sha256(first).digest() in remembered
    assert hashlib.sha256(second).digest() not in remembered


def test_without_providers_no_token_is_believed() -> None:
    """Nobody is trusted by default."""
    assert TokenVerifier().verify(ONE.token(), NOW_MS) is Reason.UNKNOWN_ISSUER
