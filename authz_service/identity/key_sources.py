"""Where a provider's keys come from: variables, files, and what is behind a URL.

Whatever is wrong with them is told with its file and reason; a secret is never shown.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from authz_service.core.provider import (
    SECRET_BYTES,
    JwksFile,
    JwksUrl,
    PemFile,
    Provider,
    SecretFile,
    SecretVariable,
)
from authz_service.errors import ConfigurationError
from authz_service.identity.jwks import UnusableJwksError, read_jwks
from authz_service.identity.signing_keys import KeySet, UnfitKeyError, public_key, secret_key
from authz_service.identity.tokens import FixedKeys, Keys, Trusted

_MAX_FILE_BYTES = 1 << 20

Remote = Callable[[Provider, JwksUrl, str], Keys]
"""The keys of a provider behind a URL; the text holds its authorities, or nothing."""


def nobody_fetches(_provider: Provider, _where: JwksUrl, _authorities: str) -> Keys:
    """For processes that verify no tokens: keys behind a URL are not there."""
    return FixedKeys(None)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where names lead."""

    folder: Path
    environment: Mapping[str, str]

    def bytes_of(self, file: str) -> bytes:
        path = self.folder / file
        try:
            with path.open("rb") as opened:
                data = opened.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise _Unusable(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError:  # a NUL in the name
            raise _Unusable(f"{file!r} is no file name") from None
        if len(data) > _MAX_FILE_BYTES:
            raise _Unusable(f"{path}: is longer than {_MAX_FILE_BYTES} bytes")
        return data


class _Unusable(Exception):  # noqa: N818 - a problem on its way to its list
    """A source that no keys can be had from."""


def trust(
    providers: Sequence[Provider],
    *,
    folder: Path,
    environment: Mapping[str, str],
    remote: Remote = nobody_fetches,
) -> list[Trusted]:
    """The providers with their keys. Files without a root are looked for in `folder`.

    Raises:
        ConfigurationError: with the problem of every provider that has one.
    """
    places = _Places(folder, environment)
    problems: list[str] = []
    trusted: list[Trusted] = []
    for provider in providers:
        try:
            trusted.append(Trusted(provider, _keys(provider, places, remote)))
        except _Unusable as error:
            problems.append(f"jwt provider {provider.name}: {error}")
    if problems:
        raise ConfigurationError(problems)
    return trusted


def _keys(provider: Provider, places: _Places, remote: Remote) -> Keys:
    match provider.keys:
        case SecretVariable(name):
            return FixedKeys(_secret_in_variable(name, provider, places))
        case SecretFile(file):
            return FixedKeys(_secret_in_file(file, provider, places))
        case PemFile(file):
            return FixedKeys(_pem(file, provider, places))
        case JwksFile(file):
            return FixedKeys(_jwks(file, provider, places))
        case JwksUrl() as where:
            authorities = "" if where.ca_file is None else _authorities(where.ca_file, places)
            return remote(provider, where, authorities)
        case _:
            assert_never(provider.keys)


def _secret_in_variable(name: str, provider: Provider, places: _Places) -> KeySet:
    value = places.environment.get(name)
    if not value:
        raise _Unusable(f"{name} is unset or empty")
    return _secret(name, value.encode("utf-8", "surrogateescape"), provider)


def _secret_in_file(file: str, provider: Provider, places: _Places) -> KeySet:
    # Editors and `echo` end a file with a line break, which nobody means to be secret.
    secret = places.bytes_of(file).removesuffix(b"\n").removesuffix(b"\r")
    return _secret(f"{places.folder / file}:", secret, provider)


def _secret(place: str, secret: bytes, provider: Provider) -> KeySet:
    needed, algorithm = max((SECRET_BYTES[it], it) for it in provider.algorithms)
    if len(secret) < needed:
        raise _Unusable(f"{place} is too short: {algorithm} needs at least {needed} bytes")
    try:
        return KeySet([secret_key(secret, provider.algorithms)])
    except UnfitKeyError as error:
        raise _Unusable(f"{place} {error}") from None


def _pem(file: str, provider: Provider, places: _Places) -> KeySet:
    text, path = places.bytes_of(file), places.folder / file
    if b"PRIVATE KEY-----" in text:
        raise _Unusable(f"{path}: holds a private key, which belongs to the provider alone")
    if text.count(b"-----BEGIN ") > 1:
        raise _Unusable(f"{path}: holds more than one key; write a jwks_file")
    try:
        return KeySet([public_key(load_pem_public_key(text), provider.algorithms)])
    except UnfitKeyError as error:
        raise _Unusable(f"{path}: {error}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable(f"{path}: is no public key in PEM form (BEGIN PUBLIC KEY)") from None


def _jwks(file: str, provider: Provider, places: _Places) -> KeySet:
    try:
        return read_jwks(places.bytes_of(file), provider.algorithms)
    except UnusableJwksError as error:
        raise _Unusable(f"{places.folder / file}: {error}") from None


def _authorities(file: str, places: _Places) -> str:
    path, data = places.folder / file, places.bytes_of(file)
    try:
        text = data.decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError):
        raise _Unusable(f"{path}: is no certificate in PEM form (BEGIN CERTIFICATE)") from None
    return text
