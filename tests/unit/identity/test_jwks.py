"""Key sets: good members are taken, bad ones cost themselves alone, and none left is no set."""

import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from authz_service.identity.jwks import UnusableJwksError, read_jwks
from authz_service.testing.tokens import Signer, encoded, key_set, rsa_key, signer

ALL = frozenset({"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"})
GOOD = signer("ES256", "good")
RSA, EC, OKP = signer("RS256", "rsa"), signer("ES256", "ec"), signer("EdDSA", "okp")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_of_a_set_verifies(algorithm: str) -> None:
    """Each kind of public key is read as it was written."""
    mine = signer(algorithm, "one")
    key = read_jwks(key_set(mine.jwk()), ALL).select("one", algorithm)
    assert not isinstance(key, str)
    assert key.verifies(algorithm, b"signed", mine.sign(b"signed"))
    assert key.algorithms == {algorithm}


def test_a_member_without_alg_is_for_all_that_fit() -> None:
    """Within what the provider may use."""
    (key,) = read_jwks(key_set(RSA.jwk(alg=None)), ALL).keys
    assert key.algorithms == {"RS256", "PS256"}


def test_optional_members_may_be_absent() -> None:
    """kid, use, alg and key_ops are (RFC 7517 section 4); unknown ones are ignored."""
    (key,) = read_jwks(key_set(EC.jwk(kid=None, use=None, alg=None, x5t="x", more=[1])), ALL).keys
    assert key.id is None
    assert len(read_jwks(key_set(EC.jwk(key_ops=["sign", "verify"])), ALL)) == 1


def numbers(jwk: Signer, **changes: bytes) -> dict[str, object]:
    """A member with other numbers."""
    return jwk.jwk(**{name: encoded(value).decode() for name, value in changes.items()})


_RSA_PUBLIC = rsa_key().public_key().public_numbers()
_N = _RSA_PUBLIC.n.to_bytes(256, "big")
_WEAK = rsa_key(1_024).public_key().public_numbers().n.to_bytes(128, "big")
_OTHER_CURVE = Signer("ES384", ec.generate_private_key(ec.SECP384R1()))

BAD: list[tuple[object, str]] = [
    ("text", "is no object"),
    (None, "is no object"),
    ([], "is no object"),
    ({}, "is of a kind that is not supported"),
    ({"kty": ["RSA"]}, "is of a kind that is not supported"),
    ({"kty": "oct", "kid": "x"}, "is of a kind that is not supported"),
    ({"kty": "oct", "k": "c2VjcmV0"}, "holds a secret"),
    ({**EC.jwk(), "d": "c2VjcmV0"}, "holds a secret"),
    ({**RSA.jwk(), "p": "AQAB"}, "holds a secret"),
    (EC.jwk(use="enc"), "is not for signatures"),
    (EC.jwk(use=["sig"]), "is not for signatures"),
    (EC.jwk(key_ops=["encrypt"]), "is not for verifying"),
    (EC.jwk(key_ops=[]), "is not for verifying"),
    (EC.jwk(key_ops="verify"), "is not for verifying"),
    (EC.jwk(key_ops={"verify": 1}), "is not for verifying"),
    ({**EC.jwk(), "kid": None}, "has a kid that is no text of 1 to 256 characters"),
    (EC.jwk(kid=7), "has a kid that is no text of 1 to 256 characters"),
    (EC.jwk(kid=""), "has a kid that is no text of 1 to 256 characters"),
    (EC.jwk(kid="k" * 257), "has a kid that is no text of 1 to 256 characters"),
    (EC.jwk(alg="HS256"), "is for another algorithm"),
    (EC.jwk(alg="none"), "is for another algorithm"),
    (EC.jwk(alg=["ES256"]), "is for another algorithm"),
    (EC.jwk(alg="ES384"), "is for none of ES384"),
    (EC.jwk(alg="RS256"), "is for none of RS256"),
    (RSA.jwk(n=None), "is malformed"),
    (RSA.jwk(n=1), "is malformed"),
    (RSA.jwk(n=""), "is malformed"),
    (RSA.jwk(n="A" * 2_049), "is malformed"),
    (RSA.jwk(n="ä"), "is malformed"),
    (RSA.jwk(e="AQAB="), "is malformed"),
    (RSA.jwk(e="AQ+B"), "is malformed"),
    (numbers(RSA, e=b"\x00"), "is malformed"),
    (numbers(RSA, e=b"\x01"), "is malformed"),
    (numbers(RSA, e=b"\x01\x00\x00"), "is malformed"),
    (numbers(RSA, e=b"\x03"), "is an RSA key with a weak exponent"),
    (numbers(RSA, n=_WEAK), "is an RSA key of 1024 bits; 2048 to 8192 are accepted"),
    (numbers(RSA, n=b"\x0f"), "is malformed"),
    (EC.jwk(crv=None), "is of a curve that is not supported"),
    (EC.jwk(crv=["P-256"]), "is of a curve that is not supported"),
    (EC.jwk(crv="secp256k1"), "is of a curve that is not supported"),
    (EC.jwk(crv="P-384"), "is malformed"),
    (numbers(EC, x=bytes(32), y=bytes(32)), "is malformed"),
    (numbers(EC, x=b"\xff" * 32), "is malformed"),
    (numbers(EC, x=b"\x01" * 31), "is malformed"),
    (numbers(EC, y=b"\x00" * 33), "is malformed"),
    (_OTHER_CURVE.jwk(alg="ES256"), "is for none of ES256"),
    (OKP.jwk(crv="Ed448"), "is of a kind that is not supported"),
    (OKP.jwk(crv="X25519"), "is of a kind that is not supported"),
    (numbers(OKP, x=b"\x07" * 31), "is malformed"),
    (numbers(OKP, x=bytes(32)), "is an Ed25519 key of small order"),
    (numbers(OKP, x=b"\x01" + bytes(31)), "is an Ed25519 key of small order"),
]


@pytest.mark.parametrize(("member", "reason"), BAD, ids=range(len(BAD)))
def test_a_bad_member_is_left_out_and_told(member: object, reason: str) -> None:
    """The others stay; the reason names its place, and quotes nothing of it."""
    keys = read_jwks(key_set(member, GOOD.jwk()), ALL)
    assert [key.id for key in keys.keys] == ["good"]
    assert keys.skipped == (f"keys[0] {reason}",)


@pytest.mark.parametrize(("member", "reason"), BAD, ids=range(len(BAD)))
def test_a_set_of_bad_members_alone_is_no_set(member: object, reason: str) -> None:
    """Nothing takes the place of the keys before it."""
    with pytest.raises(UnusableJwksError, match=re.escape(f"no usable key: keys[0] {reason}")):
        read_jwks(key_set(member), ALL)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<!doctype html><title>Sign in</title>",
        b"null",
        b"[]",
        b'"keys"',
        json.dumps([GOOD.jwk()]).encode(),
        b"{}",
        b'{"keys": {}}',
        b'{"keys": "x"}',
        b'{"keys": null}',
        b'{"keys": [], "keys": []}',
        b"[" * 10_000,
        key_set(GOOD.jwk()) + b"x",
        key_set(GOOD.jwk()).decode().encode("utf-16"),
    ],
)
def test_what_is_no_set_is_refused(text: bytes) -> None:
    """HTML, other JSON, doubled names and other encodings."""
    with pytest.raises(UnusableJwksError, match="is no JSON object with a list of keys"):
        read_jwks(text, ALL)


def test_an_empty_set_is_no_set() -> None:
    """It would lock everybody out."""
    with pytest.raises(UnusableJwksError, match=r"holds no usable key$"):
        read_jwks(key_set(), ALL)


def test_a_set_may_have_100_members() -> None:
    """More are refused as a whole: which ones to keep would be a guess."""
    assert len(read_jwks(key_set(*[{}] * 99, GOOD.jwk()), ALL)) == 1
    with pytest.raises(UnusableJwksError, match="holds more than 100 keys"):
        read_jwks(key_set(*[{}] * 100, GOOD.jwk()), ALL)


def test_a_large_key_is_read() -> None:
    """The longest that is accepted still fits the bounds of a number."""
    numbers = rsa.RSAPublicNumbers(65_537, (1 << 8_191) + 1)
    member = {"kty": "RSA", "e": "AQAB", "n": encoded(numbers.n.to_bytes(1_024, "big")).decode()}
    assert len(read_jwks(key_set(member), ALL)) == 1
