"""Where keys come from: what is read, and what is said of what cannot be used."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authz_service.core.provider import (
    JwksFile,
    JwksUrl,
    KeySource,
    PemFile,
    Provider,
    SecretFile,
    SecretVariable,
)
from authz_service.errors import ConfigurationError
from authz_service.identity.key_sources import trust
from authz_service.identity.signing_keys import KeySet
from authz_service.identity.tokens import FixedKeys, Keys
from authz_service.testing.tokens import SECRET, key_set, provider, signer

URL = JwksUrl(url="https://login.example.com/jwks.json")
CERTIFICATE = trustme.CA().cert_pem.bytes()
RSA, EC = signer("RS256", "one"), signer("ES256", "two")


def loaded(
    folder: Path, keys: KeySource, *names: str, environment: dict[str, str] | None = None
) -> KeySet:
    """The keys of one provider."""
    (trusted,) = trust([provider(*names, keys=keys)], folder=folder, environment=environment or {})
    current = trusted.keys.current()
    assert current is not None
    return current


def problem(
    folder: Path, keys: KeySource, *names: str, environment: dict[str, str] | None = None
) -> str:
    """What is wrong with the keys of one provider."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, keys, *names, environment=environment)
    (told,) = caught.value.problems
    assert SECRET.decode() not in told
    return told.removeprefix("jwt provider login: ").replace(str(folder), "{folder}")


def test_a_secret_comes_from_a_variable(tmp_path: Path) -> None:
    """It verifies what was signed with it."""
    keys = loaded(tmp_path, SecretVariable("S"), "HS256", environment={"S": SECRET.decode()})
    (key,) = keys.keys
    assert key.verifies("HS256", b"signed", signer("HS256").sign(b"signed"))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_comes_from_a_file(tmp_path: Path, end: bytes) -> None:
    """The line break that ends a file is no part of it."""
    (tmp_path / "secret").write_bytes(SECRET + end)
    (key,) = loaded(tmp_path, SecretFile("secret"), "HS512").keys
    assert key.verifies("HS512", b"signed", signer("HS512").sign(b"signed"))


@pytest.mark.parametrize(("algorithm", "length"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_its_hash(tmp_path: Path, algorithm: str, length: int) -> None:
    """RFC 7518 section 3.2: a shorter one is refused, and not shown."""
    (tmp_path / "secret").write_bytes(SECRET[:length])
    assert loaded(tmp_path, SecretFile("secret"), algorithm, "HS256")
    (tmp_path / "secret").write_bytes(SECRET[: length - 1])
    told = problem(tmp_path, SecretFile("secret"), algorithm, "HS256")
    assert told == f"{{folder}}/secret: is too short: {algorithm} needs at least {length} bytes"
    assert SECRET[:20].decode() not in told


def test_a_variable_with_a_short_secret_is_named(tmp_path: Path) -> None:
    """By its name alone."""
    told = problem(tmp_path, SecretVariable("S"), "HS256", environment={"S": "hunter2"})
    assert told == "S is too short: HS256 needs at least 32 bytes"


@pytest.mark.parametrize("environment", [{}, {"S": ""}])
def test_an_unset_variable_is_an_error(tmp_path: Path, environment: dict[str, str]) -> None:
    """An empty secret would be everybody's."""
    told = problem(tmp_path, SecretVariable("S"), "HS256", environment=environment)
    assert told == "S is unset or empty"


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    """The oldest trick: whoever has the public key would sign with it."""
    (tmp_path / "secret").write_bytes(RSA.pem())
    told = problem(tmp_path, SecretFile("secret"), "HS256")
    assert told == "{folder}/secret: is a key of another kind, and no secret"


def test_a_key_comes_from_a_pem_file(tmp_path: Path) -> None:
    """Bound to those of the provider's algorithms that fit it."""
    (tmp_path / "login.pem").write_bytes(RSA.pem())
    (key,) = loaded(tmp_path, PemFile("login.pem"), "RS256", "ES256").keys
    assert key.algorithms == {"RS256"}
    assert key.verifies("RS256", b"signed", RSA.sign(b"signed"))


def test_keys_come_from_a_set(tmp_path: Path) -> None:
    """Those that fit; the others are left out."""
    (tmp_path / "login.json").write_bytes(key_set(RSA.jwk(), EC.jwk()))
    assert {key.id for key in loaded(tmp_path, JwksFile("login.json"), "ES256").keys} == {"two"}


def test_a_file_with_a_root_is_found_anywhere(tmp_path: Path) -> None:
    """The policy's folder counts for relative names only."""
    (tmp_path / "login.pem").write_bytes(RSA.pem())
    assert loaded(Path("/nowhere"), PemFile(str(tmp_path / "login.pem")), "RS256")


PRIVATE = RSA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no public key in PEM form (BEGIN PUBLIC KEY)"),
        (b"\xff\x00", "is no public key in PEM form (BEGIN PUBLIC KEY)"),
        (RSA.pem()[:-40], "is no public key in PEM form (BEGIN PUBLIC KEY)"),
        (CERTIFICATE, "is no public key in PEM form (BEGIN PUBLIC KEY)"),
        (PRIVATE, "holds a private key, which belongs to the provider alone"),
        (RSA.pem() + EC.pem(), "holds more than one key; write a jwks_file"),
        (EC.pem(), "is for none of RS256"),
        (bytes((1 << 20) + 1), f"is longer than {1 << 20} bytes"),
    ],
)
def test_a_wrong_pem_file_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """With its name and the reason."""
    (tmp_path / "login.pem").write_bytes(content)
    assert problem(tmp_path, PemFile("login.pem")) == f"{{folder}}/login.pem: {told}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{}", "is no JSON object with a list of keys"),
        (b'{"keys": []}', "holds no usable key"),
        (key_set(EC.jwk()), "holds no usable key: keys[0] is for another algorithm"),
    ],
)
def test_a_wrong_key_set_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """With its name and the reason."""
    (tmp_path / "login.json").write_bytes(content)
    assert problem(tmp_path, JwksFile("login.json")) == f"{{folder}}/login.json: {told}"


@pytest.mark.parametrize(
    ("keys", "algorithm"),
    [
        (SecretFile("gone"), "HS256"),
        (PemFile("gone"), "RS256"),
        (JwksFile("gone"), "RS256"),
        (JwksUrl(url=URL.url, ca_file="gone"), "RS256"),
    ],
)
def test_a_missing_file_is_told(tmp_path: Path, keys: KeySource, algorithm: str) -> None:
    """Whatever it was to hold."""
    told = problem(tmp_path, keys, algorithm)
    assert told == "{folder}/gone: cannot be read: No such file or directory"


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    """It reaches no further than the reader."""
    assert problem(tmp_path, PemFile("a\0b")) == "'a\\x00b' is no file name"


@pytest.mark.parametrize("content", [b"", b"text", b"\xff", CERTIFICATE[:100], RSA.pem()])
def test_authorities_are_certificates(tmp_path: Path, content: bytes) -> None:
    """Else any server, or none, would be trusted."""
    (tmp_path / "ca.pem").write_bytes(content)
    told = problem(tmp_path, JwksUrl(url=URL.url, ca_file="ca.pem"))
    assert told == "{folder}/ca.pem: is no certificate in PEM form (BEGIN CERTIFICATE)"


def test_what_is_behind_a_url_is_asked_of_others(tmp_path: Path) -> None:
    """With the provider, the URL, and its authorities as text."""
    (tmp_path / "ca.pem").write_bytes(CERTIFICATE)
    asked: list[tuple[Provider, JwksUrl, str]] = []
    mine = FixedKeys(None)

    def remote(one: Provider, where: JwksUrl, authorities: str) -> Keys:
        asked.append((one, where, authorities))
        return mine

    with_ca = provider(keys=JwksUrl(url=URL.url, ca_file="ca.pem"))
    without = provider(name="other", keys=URL)
    trusted = trust([with_ca, without], folder=tmp_path, environment={}, remote=remote)
    assert asked == [(with_ca, with_ca.keys, CERTIFICATE.decode()), (without, URL, "")]
    assert [it.keys for it in trusted] == [mine, mine]


def test_without_anybody_who_fetches_there_are_no_keys(tmp_path: Path) -> None:
    """As in a process that verifies no tokens."""
    (trusted,) = trust([provider(keys=URL)], folder=tmp_path, environment={})
    assert trusted.keys.current() is None


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """One line for each provider, under its name."""
    wrong = [provider(name="one"), provider("HS256", name="two", keys=SecretVariable("TWO"))]
    with pytest.raises(ConfigurationError) as caught:
        trust(wrong, folder=tmp_path, environment={})
    assert caught.value.problems == (
        f"jwt provider one: {tmp_path}/login.pem: cannot be read: No such file or directory",
        "jwt provider two: TWO is unset or empty",
    )
