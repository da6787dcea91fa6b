"""What went wrong elsewhere and must not here: each known attack on tokens, against the verifier.

The numbers are those of the advisories that made the attack known, in any library.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authz_service.core.identity import Identity
from authz_service.core.verdict import Reason
from authz_service.identity.jwks import read_jwks
from authz_service.identity.signing_keys import KeySet
from authz_service.identity.tokens import FixedKeys, TokenVerifier, Trusted
from authz_service.testing.tokens import (
    ISSUER,
    NOW_S,
    Signer,
    claims,
    encoded,
    key_set,
    provider,
    segment,
    signer,
)

NOW_MS = NOW_S * 1000
RSA, EC = signer("RS256", "rsa"), signer("ES256", "ec")
PUBLIC = RSA.key.public_key()
PEM = RSA.pem()


def keys_of(*members: object, names: tuple[str, ...] = ("RS256", "ES256")) -> KeySet:
    """A published set."""
    return read_jwks(key_set(*members), frozenset(names))


def verdict(token: bytes, keys: KeySet | None = None, *names: str) -> Identity | Reason:
    """What becomes of a token under one provider."""
    trusted = Trusted(
        provider(*(names or ("RS256", "ES256"))),
        FixedKeys(keys or keys_of(RSA.jwk(), EC.jwk())),
    )
    return TokenVerifier([trusted]).verify(token, NOW_MS)


def test_the_attacks_start_from_a_token_that_passes() -> None:
    """Without the attack it is believed; the rest proves that the attack is what fails."""
    assert isinstance(verdict(RSA.token()), Identity)
    assert isinstance(verdict(EC.token()), Identity)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", " none", "RS256\0none"])
@pytest.mark.parametrize("signature", [b"", b"AA", RSA.token().rpartition(b".")[2]])
def test_a_token_without_a_signature_is_refused(alg: str, signature: bytes) -> None:
    """CVE-2015-9235: `none`, in any spelling and with any signature."""
    token = segment({"alg": alg, "typ": "JWT"}) + b"." + segment(claims()) + b"." + signature
    expected = Reason.ALGORITHM_NOT_ALLOWED if signature else Reason.MALFORMED_TOKEN
    assert verdict(token) is expected


def test_a_token_without_an_algorithm_is_refused() -> None:
    """Nothing is assumed in its place."""
    assert verdict(RSA.token(alg=None)) is Reason.MALFORMED_TOKEN


DER = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_AS_TEXT: dict[str, bytes] = {
    "PEM": PEM,
    "PEM without the last line break": PEM.rstrip(),
    "PEM with other white space": PEM.replace(b"\n", b"\r\n") + b"\n ",
    "PEM on one line": PEM.replace(b"\n", b""),
    "PKCS #1": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "DER": DER,
    "base64 of DER": base64.b64encode(DER),
    "OpenSSH": PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "JWK": json.dumps(RSA.jwk()).encode(),
    "JWKS": key_set(RSA.jwk()),
    "modulus": str(RSA.jwk()["n"]).encode(),
    "empty": b"",
}


@pytest.mark.parametrize("name", PUBLIC_AS_TEXT)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_not_taken_for_a_secret(name: str, alg: str) -> None:
    """CVE-2016-10555, CVE-2024-37568: signed with what everybody has, in any of its forms."""
    signed = segment({"alg": alg, "typ": "JWT", "kid": "rsa"}) + b"." + segment(claims())
    hash_name = alg.replace("HS", "sha")
    signature = hmac.new(PUBLIC_AS_TEXT[name], signed, hash_name).digest()
    assert verdict(signed + b"." + encoded(signature)) is Reason.ALGORITHM_NOT_ALLOWED
    for key in keys_of(RSA.jwk(), EC.jwk()).keys:
        assert not key.verifies(alg, signed, signature)


def test_a_secret_is_not_taken_for_a_public_key() -> None:
    """A published symmetric key is no key: whoever reads the set could sign."""
    secret = {"kty": "oct", "k": encoded(b"x" * 32).decode(), "kid": "rsa", "alg": "HS256"}
    keys = keys_of(secret, RSA.jwk(), names=("RS256", "HS256"))
    token = Signer("HS256", b"x" * 32, "rsa").token()
    assert verdict(token, keys, "RS256", "HS256") is Reason.ALGORITHM_NOT_ALLOWED


def test_the_algorithm_of_a_published_key_counts() -> None:
    """A provider may use both, the key says RS256: a PS256 token of the same key is refused."""
    keys = keys_of(RSA.jwk(), names=("RS256", "PS256"))
    token = Signer("PS256", RSA.key, "rsa").token()
    assert verdict(token, keys, "RS256", "PS256") is Reason.ALGORITHM_NOT_ALLOWED
    open_keys = keys_of(RSA.jwk(alg=None), names=("RS256", "PS256"))
    assert isinstance(verdict(token, open_keys, "RS256", "PS256"), Identity)
    assert verdict(token, open_keys, "RS256") is Reason.ALGORITHM_NOT_ALLOWED


def test_a_key_that_a_token_brings_along_is_ignored() -> None:
    """CVE-2018-0114: the header's own key verifies the token, and nobody looks at it."""
    mine = signer("RS256", number=1)
    leads = {"jwk": mine.jwk(), "jku": "https://evil.example/", "x5u": "https://evil.example/"}
    x5c = [base64.b64encode(DER).decode()]
    assert verdict(mine.token(kid="rsa", x5c=x5c, **leads)) is Reason.BAD_SIGNATURE
    assert isinstance(verdict(RSA.token(x5c=x5c, **leads)), Identity)


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "rsa' OR '1'='1",
        "rsa\0",
        "https://evil.example/key",
        "${jndi:ldap://evil.example}",
        "RSA",
        " rsa",
        "k" * 256,
        "k" * 257,
        "k" * 5_000,
        "",
        7,
        ["rsa"],
        {"rsa": 1},
        True,
    ],
)
def test_the_name_of_a_key_is_looked_up_and_nothing_else(kid: object) -> None:
    """No file, no query, no request is made of it."""
    expected = {Reason.UNKNOWN_SIGNING_KEY, Reason.MALFORMED_TOKEN}
    assert verdict(RSA.token(kid=kid)) in expected


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["bork"], "bork": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"crit": "exp"},
    ],
)
def test_an_extension_is_not_passed_over(header: dict[str, object]) -> None:
    """CVE-2026-32597, CVE-2025-59420: what must be understood is not, so the token is refused."""
    assert verdict(RSA.token(**header)) is Reason.MALFORMED_TOKEN


def test_a_payload_beside_the_token_is_refused() -> None:
    """RFC 7797: an empty second segment stands for a payload from somewhere else."""
    header, said, signature = RSA.token().split(b".")
    assert verdict(header + b".." + signature) is Reason.MALFORMED_TOKEN
    assert verdict(header + b"." + said) is Reason.MALFORMED_TOKEN


def test_an_encrypted_token_is_refused_before_it_is_unpacked() -> None:
    """CVE-2025-62706: a compressed one may unpack to gigabytes."""
    header = {"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF"}
    five = b".".join([segment(header), *[encoded(b"x")] * 4])
    assert verdict(five) is Reason.MALFORMED_TOKEN
    assert verdict(RSA.token(zip="DEF")) is Reason.MALFORMED_TOKEN
    assert verdict(RSA.token(enc="A128GCM")) is Reason.MALFORMED_TOKEN


def test_a_huge_token_is_refused_before_it_is_decoded() -> None:
    """CVE-2025-61920: a header of megabytes costs no memory."""
    assert verdict(RSA.token(x="A" * 8_192)) is Reason.MALFORMED_TOKEN
    assert verdict(b"A" * (8 << 20)) is Reason.MALFORMED_TOKEN
    assert verdict(b"." * (8 << 20)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token + b"=",
        lambda token: token + b"\n",
        lambda token: token.replace(b".", b"=.", 1),
        lambda token: token[:-1] + bytes([token[-1] + 1]),  # a bit that decodes to nothing
        lambda token: token.replace(b".", b"!.", 1),
    ],
)
def test_a_token_has_one_spelling(spoil: Callable[[bytes], bytes]) -> None:
    """Another spelling would get past a list of revoked tokens."""
    token = EC.token()
    assert verdict(spoil(token)) is Reason.MALFORMED_TOKEN
    assert isinstance(verdict(token), Identity)


@pytest.mark.parametrize("payload", [b"[" * 5_000, b'{"a":' * 900 + b"1" + b"}" * 900])
def test_deep_nesting_is_refused(payload: bytes) -> None:
    """Python's reader gives up with an error that is no ValueError."""
    signed = segment({"alg": "RS256", "kid": "rsa"}) + b"." + encoded(payload)
    assert verdict(signed + b"." + encoded(RSA.sign(signed))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "exp", ["9999999999", [9_999_999_999], None, True, {"$gt": 0}, -1, "Infinity"]
)
def test_an_expiry_that_is_no_number_is_refused(exp: object) -> None:
    """Texts are not converted, and lists raise nothing."""
    assert verdict(RSA.token({**claims(), "exp": exp})) is Reason.INVALID_CLAIM


@pytest.mark.parametrize("exp", [b"Infinity", b"NaN", b"1e999", b"9" * 5_000])
def test_an_expiry_out_of_this_world_is_refused(exp: bytes) -> None:
    """Python's reader makes infinity of them, and an OverflowError of that."""
    payload = json.dumps(claims(exp="X")).encode().replace(b'"X"', exp)
    signed = segment({"alg": "RS256", "kid": "rsa"}) + b"." + encoded(payload)
    assert verdict(signed + b"." + encoded(RSA.sign(signed))) is Reason.MALFORMED_TOKEN


def test_a_claim_that_stands_there_twice_is_refused() -> None:
    """One reader takes the first, another the last."""
    payload = json.dumps(claims()).encode()[:-1] + b', "sub": "root"}'
    signed = segment({"alg": "RS256", "kid": "rsa"}) + b"." + encoded(payload)
    assert verdict(signed + b"." + encoded(RSA.sign(signed))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("iss", [ISSUER[:12], ISSUER[:-1], ISSUER + "x", [ISSUER, "x"], "", "/"])
def test_a_part_of_an_issuer_is_not_the_issuer(iss: object) -> None:
    """CVE-2024-53861: `in` is no comparison of texts."""
    assert verdict(RSA.token({**claims(), "iss": iss})) is Reason.UNKNOWN_ISSUER


@pytest.mark.parametrize("aud", [["thing"], "thing", "things,other", [["things"]], {"things": 1}])
def test_a_part_of_an_audience_is_not_the_audience(aud: object) -> None:
    """Neither is a text that holds it."""
    found = verdict(RSA.token({**claims(), "aud": aud}))
    assert found in {Reason.WRONG_AUDIENCE, Reason.INVALID_CLAIM}


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_a_signature_of_zeros_fits_no_message(algorithm: str) -> None:
    """CVE-2022-21449: r and s of zero."""
    mine = signer(algorithm, "one")
    header, said, signature = mine.token().split(b".")
    zeros = encoded(bytes(len(base64.urlsafe_b64decode(signature + b"=="))))
    keys = keys_of(mine.jwk(), names=(algorithm,))
    assert verdict(b".".join([header, said, zeros]), keys, algorithm) is Reason.BAD_SIGNATURE


def test_a_key_of_small_order_signs_nothing() -> None:
    """Under it one signature fits any message: the library verifies it, so the key must not be."""
    neutral = (1).to_bytes(32, "little")
    forged = neutral + bytes(32)  # R is the neutral element and S is 0
    ed25519.Ed25519PublicKey.from_public_bytes(neutral).verify(forged, b"any message")
    weak = {"kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": encoded(neutral).decode()}
    keys = keys_of(weak, EC.jwk(), names=("EdDSA", "ES256"))
    signed = segment({"alg": "EdDSA", "kid": "weak"}) + b"." + segment(claims())
    token = signed + b"." + encoded(forged)
    assert verdict(token, keys, "EdDSA", "ES256") is Reason.UNKNOWN_SIGNING_KEY


def test_one_bad_key_does_not_break_the_set() -> None:
    """An RSA member that no reader accepts leaves the others alone."""
    keys = keys_of({"kty": "RSA", "n": "AA", "e": "AA", "kid": "bad"}, RSA.jwk())
    assert isinstance(verdict(RSA.token(), keys), Identity)


def test_an_empty_secret_signs_nothing() -> None:
    """A token signed with no secret at all is refused like any other."""
    signed = segment({"alg": "HS256"}) + b"." + segment(claims())
    signature = hmac.new(b"", signed, hashlib.sha256).digest()
    assert verdict(signed + b"." + encoded(signature)) is Reason.ALGORITHM_NOT_ALLOWED


def test_a_remembered_token_speaks_for_one_provider_alone() -> None:
    """CVE-2021-32701: what one configuration has believed says nothing to another."""
    token = RSA.token()
    keys = FixedKeys(keys_of(RSA.jwk()))
    strict = TokenVerifier([Trusted(provider(audiences=("other",)), keys)])
    lax = TokenVerifier([Trusted(provider(), keys)])
    assert isinstance(lax.verify(token, NOW_MS), Identity)
    assert strict.verify(token, NOW_MS) is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "JOSE"])
def test_a_token_of_another_kind_is_no_access_token(typ: str) -> None:
    """RFC 8725 section 3.11: the issuer signs more than access tokens with the same key."""
    assert verdict(RSA.token(typ=typ)) is Reason.WRONG_TOKEN_TYPE
