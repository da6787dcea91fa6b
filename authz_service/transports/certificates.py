"""The files of TLS: read, and judged before anybody is served by them.

Nothing of a private key ever stands in a message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from authz_service.errors import ConfigurationError
from authz_service.identity.moments import spell_moment
from authz_service.settings import Settings

Chain: TypeAlias = Sequence[x509.Certificate]

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the certificate, its key and the authorities of clients are."""

    certificate: Path
    key: Path
    client_authorities: Path | None

    @property
    def all(self) -> tuple[Path, ...]:
        """Every one of them."""
        more = () if self.client_authorities is None else (self.client_authorities,)
        return (self.certificate, self.key, *more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What the files hold, in PEM, and when the first certificate of the chain expires (epoch)."""

    chain: bytes
    key: bytes = field(repr=False)
    client_authorities: bytes | None
    expires_at_ms: int


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files that settings name, None without TLS."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return TlsFiles(
        certificate=settings.tls_cert_file,
        key=settings.tls_key_file,
        client_authorities=settings.tls_client_ca_file,
    )


def load_certificates(files: TlsFiles, *, now_ms: int) -> Certificates:
    """The files, fit to serve by at `now_ms` (epoch).

    Raises:
        ConfigurationError: naming every file that is not, and why.
    """
    problems: list[str] = []
    pem = {file: _read(file, problems) for file in files.all}
    chain = _certificates(files.certificate, pem[files.certificate], problems)
    problems += [
        f"{files.certificate}: {problem}"
        for certificate in chain
        if (problem := _untimely(certificate, now_ms))
    ]
    _judge_key(files, pem[files.key], chain, problems)
    authorities = files.client_authorities
    if authorities is not None:
        _judge_authorities(authorities, pem[authorities], problems, now_ms=now_ms)
    if problems:
        raise ConfigurationError(problems)
    return Certificates(
        chain=pem[files.certificate],
        key=pem[files.key],
        client_authorities=None if authorities is None else pem[authorities],
        expires_at_ms=min(map(_end_ms, chain)),
    )


def _read(file: Path, problems: list[str]) -> bytes:
    """What a file holds; nothing if it cannot be read, which is told."""
    try:
        text = file.read_bytes()
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return b""
    if not text.strip():
        problems.append(f"{file}: is empty")
    return text


def _certificates(file: Path, pem: bytes, problems: list[str]) -> Chain:
    if not pem.strip():
        return ()
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        problems.append(f"{file}: holds something that is no certificate in PEM")
        return ()


def _judge_key(files: TlsFiles, pem: bytes, chain: Chain, problems: list[str]) -> None:
    if not pem.strip():
        return
    try:
        key = load_pem_private_key(pem, password=None).public_key()
    except TypeError:
        problems.append(f"{files.key}: is encrypted, and nobody could tell us the password")
    except (ValueError, UnsupportedAlgorithm):
        problems.append(f"{files.key}: holds no private key in PEM")
    else:
        if not _can_serve(key):
            problems.append(f"{files.key}: is neither RSA nor P-256, P-384, P-521 or Ed25519")
        elif chain and _spelt(key) != _key_of(chain[0]):
            problems.append(f"{files.key}: is not the key of {files.certificate}")


def _judge_authorities(file: Path, pem: bytes, problems: list[str], *, now_ms: int) -> None:
    """A bundle may hold authorities that are no longer used; one must be."""
    told = [_untimely(certificate, now_ms) for certificate in _certificates(file, pem, problems)]
    if told and all(told):
        problems.append(f"{file}: has no authority in force: the first {told[0]}")


def _untimely(certificate: x509.Certificate, now_ms: int) -> str | None:
    """What is wrong with a certificate at this moment."""
    begins_ms, ends_ms = (
        int(certificate.not_valid_before_utc.timestamp() * 1000),
        _end_ms(certificate),
    )
    if now_ms < begins_ms:
        return f"is not valid before {spell_moment(begins_ms)}"
    if now_ms > ends_ms:
        return f"expired at {spell_moment(ends_ms)}"
    return None


def _end_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _can_serve(key: PublicKeyTypes) -> bool:
    """Whether gRPC takes such a key: it refuses others without a word while it serves."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)


def _key_of(certificate: x509.Certificate) -> bytes | None:
    """None where it is of a kind that nobody knows, or no key at all."""
    try:
        return _spelt(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spelt(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
