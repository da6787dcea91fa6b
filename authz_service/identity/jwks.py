"""A JSON Web Key Set (RFC 7517) to the keys in it that we may use.

One bad member costs itself alone; a set without any good one is no set.
"""

from collections.abc import Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from authz_service.core import base64url
from authz_service.core.json_object import read_object
from authz_service.core.token import is_key_id
from authz_service.identity.signing_keys import (
    KeySet,
    PublicKey,
    SigningKey,
    UnfitKeyError,
    public_key,
)

MAX_MEMBERS = 100

# Longer than the numbers of any key we accept.
_MAX_NUMBER_CHARACTERS = 2_048
# Of private and of symmetric keys (RFC 7518 section 6). Whoever publishes one has lost it.
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES: Mapping[str, tuple[type[EllipticCurve], int]] = {
    "P-256": (SECP256R1, 32),
    "P-384": (SECP384R1, 48),
    "P-521": (SECP521R1, 66),
}


class UnusableJwksError(Exception):
    """A text that is no key set, or one without a usable key. The message quotes none of it."""


def read_jwks(text: bytes, algorithms: frozenset[str]) -> KeySet:
    """The keys of a set that are for `algorithms`.

    Raises:
        UnusableJwksError: there is none.
    """
    document = read_object(text)
    members = document.get("keys") if document is not None else None
    if not isinstance(members, list):
        raise UnusableJwksError("is no JSON object with a list of keys")
    if len(members) > MAX_MEMBERS:
        raise UnusableJwksError(f"holds more than {MAX_MEMBERS} keys")
    keys: list[SigningKey] = []
    skipped: list[str] = []
    for place, member in enumerate(members):
        try:
            keys.append(_signing_key(member, algorithms))
        except UnfitKeyError as error:
            skipped.append(f"keys[{place}] {error}")
    if not keys:
        said = f": {'; '.join(skipped)}" if skipped else ""
        raise UnusableJwksError(f"holds no usable key{said}")
    return KeySet(keys, skipped=tuple(skipped))


def _signing_key(member: object, algorithms: frozenset[str]) -> SigningKey:
    if not isinstance(member, dict):
        raise UnfitKeyError("is no object")
    if member.keys() & _SECRET_MEMBERS:
        raise UnfitKeyError("holds a secret")
    if member.get("use", "sig") != "sig":
        raise UnfitKeyError("is not for signatures")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnfitKeyError("is not for verifying")
    if "kid" in member and not is_key_id(member["kid"]):
        raise UnfitKeyError("has a kid that is no text of 1 to 256 characters")
    if "alg" in member:
        algorithms &= {member["alg"]} if isinstance(member["alg"], str) else set()
    if not algorithms:
        raise UnfitKeyError("is for another algorithm")
    return public_key(_material(member), algorithms, key_id=member.get("kid"))


def _material(member: Mapping[str, object]) -> PublicKey:
    try:
        match member.get("kty"):
            case "RSA":
                modulus, exponent = _number(member, "n"), _number(member, "e")
                return RSAPublicNumbers(exponent, modulus).public_key()
            case "EC":
                return _ec_key(member)
            case "OKP" if member.get("crv") == "Ed25519":
                return Ed25519PublicKey.from_public_bytes(_bytes(member, "x"))
            case _:
                raise UnfitKeyError("is of a kind that is not supported")
    except (ValueError, UnsupportedAlgorithm):
        raise UnfitKeyError("is malformed") from None


def _ec_key(member: Mapping[str, object]) -> EllipticCurvePublicKey:
    name = member.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise UnfitKeyError("is of a curve that is not supported")
    curve, size = _CURVES[name]
    x, y = _bytes(member, "x"), _bytes(member, "y")
    if len(x) != size or len(y) != size:  # RFC 7518 section 6.2.1.2
        raise ValueError("a coordinate is of another length")
    return EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve()
    ).public_key()


def _number(member: Mapping[str, object], name: str) -> int:
    return int.from_bytes(_bytes(member, name), "big")


def _bytes(member: Mapping[str, object], name: str) -> bytes:
    text = member.get(name)
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_NUMBER_CHARACTERS:
        raise ValueError("a number is missing")
    found = base64url.decode(text.encode("ascii"))
    if found is None:
        raise ValueError("a number is no canonical base64url")
    return found
