"""Keys that signatures are checked with, each bound to the algorithms it may be used for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, get_default_algorithms

from authz_service.core.verdict import Reason

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# RFC 7518 section 3.4: one curve for one algorithm.
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MIN_RSA_BITS, _MAX_RSA_BITS = 2_048, 8_192
_MIN_RSA_EXPONENT, _MAX_RSA_EXPONENT_BITS = 65_537, 64
# The y of the points whose order divides 8, modulo 2^255 - 19: under such a key one signature
# fits any message (RFC 8032 section 5.1 asks for no check, so libraries make none).
_ED25519_PRIME = (1 << 255) - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset({0, 1, _ED25519_PRIME - 1, _ORDER_8_Y, _ED25519_PRIME - _ORDER_8_Y})


class UnfitKeyError(Exception):
    """A key that no signature is checked with. The message says why and shows nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key. Two are equal if they have the same name, material and algorithms."""

    id: str | None
    algorithms: frozenset[str]
    fingerprint: bytes = field(repr=False)
    material: bytes | PublicKey = field(repr=False, compare=False)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` over `signed` was made with the other half of this key."""
        if algorithm not in self.algorithms:
            return False
        try:
            return bool(_algorithms()[algorithm].verify(signed, self.material, signature))
        except Exception:  # noqa: BLE001 - of whatever a library says of a stranger's bytes
            return False


@cache
def _algorithms() -> dict[str, Algorithm]:
    return get_default_algorithms()


def secret_key(secret: bytes, algorithms: frozenset[str]) -> SigningKey:
    """A shared secret.

    Raises:
        UnfitKeyError: it is what everybody may know: a public key, a certificate or a JWK.
    """
    try:
        material = _algorithms()["HS256"].prepare_key(secret)
    except Exception:  # noqa: BLE001 - the reasons quote nothing, and there is one for all
        raise UnfitKeyError("is a key of another kind, and no secret") from None
    fingerprint = hashlib.sha256(secret).digest()
    return SigningKey(id=None, algorithms=algorithms, fingerprint=fingerprint, material=material)


def public_key(key: object, algorithms: frozenset[str], *, key_id: str | None = None) -> SigningKey:
    """A public key, for those of `algorithms` that it is made for.

    Raises:
        UnfitKeyError: it is too weak, of a kind we do not know, or for none of them.
    """
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        raise UnfitKeyError("is no RSA, EC or Ed25519 public key")
    fitting = _fitting_algorithms(key) & algorithms
    if not fitting:
        raise UnfitKeyError(f"is for none of {', '.join(sorted(algorithms))}")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(
        id=key_id, algorithms=fitting, fingerprint=hashlib.sha256(der).digest(), material=key
    )


def _fitting_algorithms(key: PublicKey) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        _check_rsa(key)
        return _RSA_ALGORITHMS
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset({_EC_ALGORITHMS.get(key.curve.name, "")})
    if is_of_small_order(key.public_bytes(Encoding.Raw, PublicFormat.Raw)):
        raise UnfitKeyError("is an Ed25519 key of small order")
    return frozenset({"EdDSA"})


def _check_rsa(key: RSAPublicKey) -> None:
    if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        raise UnfitKeyError(
            f"is an RSA key of {key.key_size} bits; {_MIN_RSA_BITS} to {_MAX_RSA_BITS} are accepted"
        )
    exponent = key.public_numbers().e
    if (
        exponent < _MIN_RSA_EXPONENT
        or exponent % 2 == 0
        or exponent.bit_length() > _MAX_RSA_EXPONENT_BITS
    ):
        raise UnfitKeyError("is an RSA key with a weak exponent")


def is_of_small_order(raw: bytes) -> bool:
    """Whether 32 bytes are an Ed25519 point of an order of at most 8, however written."""
    without_sign = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    return without_sign % _ED25519_PRIME in _SMALL_ORDER_Y


class KeySet:
    """The keys of a provider, found by name and algorithm. `skipped` says what was left out."""

    def __init__(self, keys: Sequence[SigningKey], *, skipped: tuple[str, ...] = ()) -> None:
        self.keys = frozenset(keys)
        self._by_id: dict[str | None, list[SigningKey]] = {}
        for key in self.keys:
            self._by_id.setdefault(key.id, []).append(key)
        self._are_named = any(key.id is not None for key in self.keys)
        self.skipped = skipped

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self.keys)

    def __contains__(self, key: SigningKey) -> bool:
        """Whether a key is still one of them."""
        return key in self.keys

    def select(self, key_id: str | None, algorithm: str) -> SigningKey | Reason:
        """The one key for a token with this header, or why there is none.

        Where several fit none is taken: the first would be a guess. Where keys have no names, as
        in a PEM file, the name that a token gives says nothing.
        """
        if key_id is None or not self._are_named:
            named = list(self.keys)
        else:
            named = self._by_id.get(key_id, [])
        fitting = [key for key in named if algorithm in key.algorithms]
        if len(fitting) == 1:
            return fitting[0]
        if named and not fitting:
            return Reason.ALGORITHM_NOT_ALLOWED
        return Reason.UNKNOWN_SIGNING_KEY
