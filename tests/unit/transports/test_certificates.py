"""Files of TLS: fit to serve by, or every reason why not, and never a word of a key."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from authz_service.errors import ConfigurationError
from authz_service.transports.certificates import TlsFiles, load_certificates
from tests.servers.certificates import Authority

AT: Final = datetime(2030, 1, 1, tzinfo=UTC)
AT_MS: Final = int(AT.timestamp() * 1000)
Break: TypeAlias = Callable[[TlsFiles, Authority], None]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whoever signs."""
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    """Good ones."""
    found = TlsFiles(
        certificate=tmp_path / "tls.crt",
        key=tmp_path / "tls.key",
        client_authorities=tmp_path / "ca.crt",
    )
    authority.sign("authz.example").write(found.certificate, found.key)
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    return found


def test_good_files_are_taken(files: TlsFiles, authority: Authority) -> None:
    """The chain's first end is the one to renew for; the key stays out of sight."""
    soon = datetime(2030, 2, 1, tzinfo=UTC)
    pair = authority.sign("authz.example", ends=soon)
    files.certificate.write_bytes(pair.certificate + authority.pem)
    files.key.write_bytes(pair.key)
    loaded = load_certificates(files, now_ms=AT_MS)
    assert loaded.expires_at_ms == soon.timestamp() * 1000
    assert loaded.client_authorities == authority.pem
    assert "PRIVATE" not in repr(loaded)


def _another_key(files: TlsFiles, authority: Authority) -> None:
    files.key.write_bytes(authority.sign("authz.example").key)


def _half_a_key(files: TlsFiles, _: Authority) -> None:
    files.key.write_bytes(files.key.read_bytes()[:60])


def _encrypted_key(files: TlsFiles, _: Authority) -> None:
    key = load_pem_private_key(files.key.read_bytes(), password=None)
    secret = BestAvailableEncryption(b"password")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def _expired(files: TlsFiles, authority: Authority) -> None:
    authority.sign("a", ends=datetime(2029, 12, 31, tzinfo=UTC)).write(files.certificate, files.key)


def _of_tomorrow(files: TlsFiles, authority: Authority) -> None:
    authority.sign("a", begins=datetime(2030, 1, 2, tzinfo=UTC)).write(files.certificate, files.key)


def _no_certificate(files: TlsFiles, _: Authority) -> None:
    files.certificate.write_bytes(files.key.read_bytes())


def _empty(files: TlsFiles, _: Authority) -> None:
    files.certificate.write_bytes(b"\n")


def _old_authority(files: TlsFiles, authority: Authority) -> None:
    old = authority.sign("old", ends=datetime(2029, 12, 31, tzinfo=UTC))
    assert files.client_authorities is not None
    files.client_authorities.write_bytes(old.certificate)


def _key_of_bitcoin(files: TlsFiles, authority: Authority) -> None:
    authority.sign("a", key=ec.generate_private_key(ec.SECP256K1())).write(
        files.certificate, files.key
    )


def _unknown_curve(files: TlsFiles, _: Authority) -> None:
    p256 = bytes.fromhex("06082a8648ce3d030107")
    der = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
    assert p256 in der
    files.certificate.write_text(ssl.DER_cert_to_PEM_cert(der.replace(p256, p256[:-1] + b"\x7f")))


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (_another_key, "tls.key", "is not the key of {folder}/tls.crt"),
        (_key_of_bitcoin, "tls.key", "is neither RSA nor P-256, P-384, P-521 or Ed25519"),
        (_unknown_curve, "tls.key", "is not the key of {folder}/tls.crt"),
        (_half_a_key, "tls.key", "holds no private key in PEM"),
        (_encrypted_key, "tls.key", "is encrypted, and nobody could tell us the password"),
        (_expired, "tls.crt", "expired at 2029-12-31T00:00:00Z"),
        (_of_tomorrow, "tls.crt", "is not valid before 2030-01-02T00:00:00Z"),
        (_no_certificate, "tls.crt", "holds something that is no certificate in PEM"),
        (_empty, "tls.crt", "is empty"),
        (
            _old_authority,
            "ca.crt",
            "has no authority in force: the first expired at 2029-12-31T00:00:00Z",
        ),
    ],
)
def test_files_that_are_not_fit_are_named(
    files: TlsFiles, authority: Authority, damage: Break, file: str, reason: str
) -> None:
    """One thing is wrong: one line says which file and why."""
    damage(files, authority)
    folder = files.key.parent
    with pytest.raises(ConfigurationError) as caught:
        load_certificates(files, now_ms=AT_MS)
    assert caught.value.problems == (f"{folder}/{file}: {reason.format(folder=folder)}",)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Each missing file has a line."""
    nowhere = TlsFiles(certificate=tmp_path / "a", key=tmp_path, client_authorities=tmp_path / "c")
    with pytest.raises(ConfigurationError) as caught:
        load_certificates(nowhere, now_ms=AT_MS)
    assert caught.value.problems == (
        f"{tmp_path}/a: cannot be read: No such file or directory",
        f"{tmp_path}: cannot be read: Is a directory",
        f"{tmp_path}/c: cannot be read: No such file or directory",
    )


def test_a_bundle_may_hold_authorities_of_the_past(files: TlsFiles, authority: Authority) -> None:
    """One in force is enough: bundles keep the old one for as long as a rotation takes."""
    old = authority.sign("old", ends=datetime(2029, 12, 31, tzinfo=UTC))
    assert files.client_authorities is not None
    files.client_authorities.write_bytes(old.certificate + authority.pem)
    assert load_certificates(files, now_ms=AT_MS).client_authorities is not None


def test_clients_need_no_authority(files: TlsFiles) -> None:
    """Without one nobody is asked for a certificate."""
    alone = TlsFiles(certificate=files.certificate, key=files.key, client_authorities=None)
    assert load_certificates(alone, now_ms=AT_MS).client_authorities is None
