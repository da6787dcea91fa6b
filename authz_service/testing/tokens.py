"""Tokens as providers make them, and as attackers do: any header, any claims, any signature."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, get_default_algorithms

from authz_service.core.provider import KeySource, PemFile, Provider

ISSUER = "https://login.example.com/"
AUDIENCE = "things"
NOW_S = 1_900_000_000
"""Where `ManualClock` starts."""

SECRET = b"a-secret-of-exactly-64-bytes-so-that-it-suits-every-HS-algorithm"

_CURVES: Mapping[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@cache
def algorithms() -> dict[str, Algorithm]:
    """What signs."""
    return get_default_algorithms()


@cache
def rsa_key(bits: int = 2_048, number: int = 0) -> rsa.RSAPrivateKey:  # noqa: ARG001 - tells keys apart
    """A key that is made once: making one takes long."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def encoded(data: bytes) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def segment(value: object) -> bytes:
    """A value as a segment of a token."""
    return encoded(json.dumps(value).encode())


def claims(**changes: object) -> dict[str, object]:
    """Claims that are believed at the start of `ManualClock`; None leaves one out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": NOW_S - 10,
        "exp": NOW_S + 600,
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and the algorithm it signs with."""

    algorithm: str
    key: Any = field(repr=False)
    key_id: str | None = None

    def sign(self, signed: bytes) -> bytes:
        """The signature over these bytes."""
        return algorithms()[self.algorithm].sign(signed, self.key)

    def token(self, said: Mapping[str, object] | None = None, /, **header: object) -> bytes:
        """A token with these claims. A header member that is None is left out."""
        members = {"alg": self.algorithm, "typ": "JWT", "kid": self.key_id, **header}
        kept = {name: value for name, value in members.items() if value is not None}
        signed = segment(kept) + b"." + segment(claims() if said is None else said)
        return signed + b"." + encoded(self.sign(signed))

    def jwk(self, **changes: object) -> dict[str, object]:
        """The public half as a member of a key set; None leaves a member out."""
        public: dict[str, object] = algorithms()[self.algorithm].to_jwk(
            self.key.public_key(), as_dict=True
        )
        public.pop("key_ops", None)
        members = {**public, "kid": self.key_id, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in members.items() if value is not None}

    def pem(self) -> bytes:
        """The public half as PEM."""
        pem: bytes = self.key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return pem


def signer(algorithm: str, key_id: str | None = None, *, number: int = 0) -> Signer:
    """A signer with a key that fits; `number` tells RSA keys apart."""
    if algorithm.startswith("HS"):
        return Signer(algorithm, SECRET, key_id)
    if algorithm == "EdDSA":
        return Signer(algorithm, ed25519.Ed25519PrivateKey.generate(), key_id)
    if algorithm in _CURVES:
        return Signer(algorithm, ec.generate_private_key(_CURVES[algorithm]), key_id)
    return Signer(algorithm, rsa_key(number=number), key_id)


def key_set(*members: object) -> bytes:
    """A key set with these members."""
    return json.dumps({"keys": members}).encode()


def provider(
    *names: str,
    name: str = "login",
    issuer: str | None = ISSUER,
    audiences: tuple[str, ...] = (AUDIENCE,),
    keys: KeySource | None = None,
    default_tier: str = "free",
    tiers: tuple[str, ...] = ("pro",),
    **changes: Any,  # noqa: ANN401 - whatever a provider has
) -> Provider:
    """A provider with these algorithms, RS256 unless told otherwise."""
    return Provider(
        name=name,
        issuer=issuer,
        audiences=frozenset(audiences),
        algorithms=frozenset(names or {"RS256"}),
        keys=keys or PemFile("login.pem"),
        default_tier=default_tier,
        tiers=frozenset({*tiers, default_tier}),
        **changes,
    )
