"""Keys: what each may be used for, which are too weak, and which one a header asks for."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authz_service.core.verdict import Reason
from authz_service.identity.signing_keys import (
    KeySet,
    SigningKey,
    UnfitKeyError,
    is_of_small_order,
    public_key,
    secret_key,
)
from authz_service.testing.tokens import SECRET, Signer, algorithms, rsa_key, signer

ALL = frozenset(algorithms()) - {"none", "ES256K", "ES521"}
PUBLIC = sorted(name for name in ALL if not name.startswith("HS"))
UNKNOWN, NOT_ALLOWED = Reason.UNKNOWN_SIGNING_KEY, Reason.ALGORITHM_NOT_ALLOWED


def key_of(signer: Signer, *names: str, key_id: str | None = None) -> SigningKey:
    """The public half of a signer's key, for these algorithms or for all that fit."""
    return public_key(signer.key.public_key(), frozenset(names) or ALL, key_id=key_id)


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_signature_is_right_or_not(algorithm: str) -> None:
    """Over the same bytes, with the same key, whole and unchanged."""
    mine, other = signer(algorithm), signer(algorithm, number=1)
    key, signature = key_of(mine), mine.sign(b"signed")
    assert key.verifies(algorithm, b"signed", signature)
    assert not key.verifies(algorithm, b"signet", signature)
    assert not key.verifies(algorithm, b"signed", other.sign(b"signed"))
    assert not key.verifies(algorithm, b"signed", signature[:-1])
    assert not key.verifies(algorithm, b"signed", signature + b"\x00")
    assert not key.verifies(algorithm, b"signed", b"")
    assert not key.verifies(algorithm, b"signed", bytes(len(signature)))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_signs_and_verifies(algorithm: str) -> None:
    """Only for the algorithms it was given for."""
    signature = signer(algorithm).sign(b"signed")
    assert secret_key(SECRET, frozenset({algorithm})).verifies(algorithm, b"signed", signature)
    others = frozenset({"HS256", "HS384", "HS512"}) - {algorithm}
    assert not secret_key(SECRET, others).verifies(algorithm, b"signed", signature)
    assert not secret_key(SECRET, others).verifies("none", b"signed", b"")


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_is_bound_to_what_it_is_made_for(algorithm: str, expected: set[str]) -> None:
    """By its type and curve, and within what the provider may use."""
    assert key_of(signer(algorithm)).algorithms == expected
    assert key_of(signer(algorithm), algorithm, "HS256").algorithms == {algorithm}
    with pytest.raises(UnfitKeyError, match="is for none of HS256, HS384"):
        key_of(signer(algorithm), "HS384", "HS256")


def test_a_key_of_one_algorithm_verifies_no_other() -> None:
    """A PKCS #1 signature does not pass for one of PSS by the same key."""
    mine = signer("RS256")
    key = key_of(mine, "PS256")
    assert not key.verifies("RS256", b"signed", mine.sign(b"signed"))
    assert not key.verifies("PS256", b"signed", mine.sign(b"signed"))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_an_ecdsa_signature_is_two_numbers_in_range(algorithm: str) -> None:
    """Zero, the order and above, DER, and other lengths are refused."""
    mine = signer(algorithm)
    key, good = key_of(mine), mine.sign(b"signed")
    size = len(good) // 2
    order = {
        32: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        48: int(
            "ffffffffffffffffffffffffffffffffffffffffffffffff"
            "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
            16,
        ),
        66: int(
            "1ff" + "f" * 63 + "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
            16,
        ),
    }[size]
    zero, n = bytes(size), order.to_bytes(size, "big")
    r, s = good[:size], good[size:]
    shifted = (int.from_bytes(s, "big") + order).to_bytes(size + 1, "big")[-size:]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    for bad in (zero + s, r + zero, zero + zero, n + s, r + n, r + shifted, der, good + r, r):
        assert not key.verifies(algorithm, b"signed", bad)
    assert key.verifies(algorithm, b"signed", good)


@pytest.mark.parametrize("bits", [1_024, 2_047])
def test_a_short_rsa_key_is_refused(bits: int) -> None:
    """Less than 2048 bits can be factored by those who care."""
    with pytest.raises(UnfitKeyError, match=f"is an RSA key of {bits} bits"):
        public_key(rsa_key(bits).public_key(), ALL)


def test_a_huge_rsa_key_is_refused() -> None:
    """Whoever publishes it decides how long a check takes."""
    huge = rsa.RSAPublicNumbers(65_537, (1 << 8_192) + 1).public_key()
    with pytest.raises(UnfitKeyError, match="is an RSA key of 8193 bits"):
        public_key(huge, ALL)


@pytest.mark.parametrize("exponent", [3, 65_535, (1 << 64) + 1])
def test_an_rsa_key_with_a_weak_exponent_is_refused(exponent: int) -> None:
    """Small ones forgive padding mistakes too little, large ones cost time."""
    numbers = rsa.RSAPublicNumbers(exponent, rsa_key().public_key().public_numbers().n)
    with pytest.raises(UnfitKeyError, match="weak exponent"):
        public_key(numbers.public_key(), ALL)


@pytest.mark.parametrize(
    "key",
    [
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
        rsa_key(),  # private
        b"secret",
        None,
    ],
    ids=["Ed448", "X25519", "private", "bytes", "none"],
)
def test_keys_of_other_kinds_are_refused(key: object) -> None:
    """RSA, EC and Ed25519 are all there is."""
    with pytest.raises(UnfitKeyError, match="is no RSA, EC or Ed25519 public key"):
        public_key(key, ALL)


def test_a_curve_without_an_algorithm_is_refused() -> None:
    """secp256k1 has 256 bits too, and is not P-256."""
    with pytest.raises(UnfitKeyError, match="is for none of"):
        public_key(ec.generate_private_key(ec.SECP256K1()).public_key(), ALL)


PRIME = (1 << 255) - 19
D = -121_665 * pow(121_666, -1, PRIME) % PRIME


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    """A point of edwards25519 added to itself (RFC 8032 section 5.1.4, in affine form)."""
    x, y = point
    product = D * x * x % PRIME * y * y % PRIME
    return (
        2 * x * y * pow(1 + product, -1, PRIME) % PRIME,
        (y * y + x * x) * pow(1 - product, -1, PRIME) % PRIME,
    )


def points(y: int) -> set[tuple[int, int]]:
    """The points with this y (RFC 8032 section 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    roots = (x, x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME)
    return {(root, y) for root in roots if root * root % PRIME == square}


def test_points_of_small_order_are_known() -> None:
    """The listed ones are back at the neutral element after three doublings; others are not."""
    found = 0
    for number in range(2_000):
        for y in {number, PRIME - number}:
            for point in points(y % PRIME):
                is_small = doubled(doubled(doubled(point))) == (0, 1)
                assert is_of_small_order((y % PRIME).to_bytes(32, "little")) is is_small
                found += is_small
    assert found == 4  # two with a y of 0, and one each with 1 and -1
    for text in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ):
        for point in points(int.from_bytes(bytes.fromhex(text), "little")):
            assert doubled(doubled(doubled(point))) == (0, 1)
            assert doubled(doubled(point)) != (0, 1)


@pytest.mark.parametrize("y", [0, 1, PRIME - 1, PRIME, PRIME + 1])
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_an_ed25519_key_of_small_order_is_refused(y: int, sign: int) -> None:
    """In each of its spellings: one signature would fit every message."""
    raw = (y | sign).to_bytes(32, "little")
    with pytest.raises(UnfitKeyError, match="small order"):
        public_key(ed25519.Ed25519PublicKey.from_public_bytes(raw), ALL)


@pytest.mark.parametrize(
    "order_8",
    [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ],
)
def test_an_ed25519_key_of_order_8_is_refused(order_8: str) -> None:
    """They look like any other key."""
    with pytest.raises(UnfitKeyError, match="small order"):
        public_key(ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(order_8)), ALL)


@pytest.mark.parametrize(
    "make",
    [
        lambda key: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        lambda key: key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        lambda key: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        lambda key: key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        lambda _: signer("RS256").jwk().__repr__().replace("'", '"').encode(),
    ],
)
def test_what_everybody_may_know_is_no_secret(make: object) -> None:
    """A public key in any form, in the place of a secret, would let everybody in."""
    assert callable(make)
    with pytest.raises(UnfitKeyError, match="no secret"):
        secret_key(make(rsa_key().public_key()), frozenset({"HS256"}))


def test_a_key_shows_nothing_of_itself() -> None:
    """Its repr holds neither secret nor fingerprint."""
    shown = repr(secret_key(SECRET, frozenset({"HS256"})))
    assert "secret" not in shown
    assert "fingerprint" not in shown


ONE, TWO = signer("ES256"), signer("ES256")
EC, ED = signer("ES256"), signer("EdDSA")


def test_a_key_is_found_by_its_name() -> None:
    """And by no other."""
    keys = KeySet([key_of(ONE, key_id="one"), key_of(TWO, key_id="two")])
    assert keys.select("two", "ES256") == key_of(TWO, key_id="two")
    assert keys.select("three", "ES256") is UNKNOWN
    assert keys.select("One", "ES256") is UNKNOWN


def test_a_key_is_not_used_for_an_algorithm_of_another() -> None:
    """Its name alone does not make it fit."""
    assert KeySet([key_of(ONE, key_id="one")]).select("one", "EdDSA") is NOT_ALLOWED


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_keys_with_one_name_the_fitting_one_is_taken(order: int) -> None:
    """Whichever comes first in the set."""
    keys = KeySet([key_of(EC, key_id="one"), key_of(ED, key_id="one")][::order])
    assert keys.select("one", "ES256") == key_of(EC, key_id="one")
    assert keys.select("one", "EdDSA") == key_of(ED, key_id="one")


def test_of_two_fitting_keys_with_one_name_none_is_taken() -> None:
    """The first would be a guess."""
    keys = KeySet([key_of(ONE, key_id="one"), key_of(TWO, key_id="one")])
    assert keys.select("one", "ES256") is UNKNOWN


def test_the_same_key_twice_is_one_key() -> None:
    """A set may repeat itself."""
    keys = KeySet([key_of(ONE, key_id="one"), key_of(ONE, key_id="one")])
    assert len(keys) == 1
    assert keys.select("one", "ES256") == key_of(ONE, key_id="one")


def test_without_a_name_only_the_one_that_fits_is_taken() -> None:
    """Where several would fit none is tried."""
    keys = KeySet([key_of(ONE, key_id="one"), key_of(ED, key_id="two")])
    assert keys.select(None, "ES256") == key_of(ONE, key_id="one")
    more = KeySet([*keys.keys, key_of(TWO, key_id="three")])
    assert more.select(None, "ES256") is UNKNOWN
    assert more.select(None, "RS256") is NOT_ALLOWED


def test_where_keys_have_no_names_a_name_says_nothing() -> None:
    """A PEM file holds one key, whatever the provider calls it."""
    assert KeySet([key_of(ONE)]).select("any", "ES256") == key_of(ONE)
    assert KeySet([key_of(ONE), key_of(TWO, key_id="two")]).select("any", "ES256") is UNKNOWN


def test_a_set_knows_its_keys() -> None:
    """By name, material and algorithms: a change of any makes another key."""
    keys = KeySet([key_of(ONE, key_id="one")])
    assert key_of(ONE, key_id="one") in keys
    assert key_of(TWO, key_id="one") not in keys
    assert key_of(ONE, key_id="two") not in keys
    rsa_one, rsa_other = key_of(signer("RS256"), "RS256"), key_of(signer("RS256"), "RS384")
    assert rsa_one not in KeySet([rsa_other])
