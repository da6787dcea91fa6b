"""Certificates for tests: an authority, and what it signs under any name for any time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

BEGINNING: Final = datetime(2001, 1, 1, tzinfo=UTC)
END: Final = datetime(2900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, certificate: Path, key: Path) -> None:
        """Put both where they belong."""
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)


class Authority:
    """Signs whatever a test wants."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.pem = authority.cert_pem.bytes()
        self._certificate = x509.load_pem_x509_certificate(self.pem)
        self._key = load_pem_private_key(authority.private_key_pem.bytes(), password=None)

    def sign(
        self,
        *names: str | x509.GeneralName,
        begins: datetime = BEGINNING,
        ends: datetime = END,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Pair:
        """A certificate for URIs and DNS names, of a fresh key unless there is one."""
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName(map(_name, names)), critical=True)
            .sign(self._key, SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(certificate.public_bytes(Encoding.PEM), pem)


def _name(text: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(text, x509.GeneralName):
        return text
    return x509.UniformResourceIdentifier(text) if "://" in text else x509.DNSName(text)
