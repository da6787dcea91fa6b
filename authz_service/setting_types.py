"""What settings may be: types that read the text of a variable, or say what is wrong with it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from authz_service.addresses import MAX_PORT, HostAndPort, destination, grpc_address, ip, is_ip
from authz_service.core.provider import SECRET_BYTES

# RFC 6750 section 2.1, and long enough that nobody guesses it.
_ADMIN_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}")

# Google Cloud's rule, with the domain that projects of old may have.
_PROJECT_ID = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")


# A token of RFC 9110 section 5.6.2; names are told as they are written.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADERS = 3

# A SPIFFE id (SPIFFE-ID sections 2.1 and 2.2), or a DNS name without a wildcard.
_CLIENT_NAME: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+|(?=.{1,253}\Z)[a-z0-9-]+(\.[a-z0-9-]+)*"
)
_LONGEST_NAME: Final = 2_048


def _existing_file(path: Path) -> Path:
    try:
        is_file = path.is_file()
    except OSError as error:
        raise ValueError(f"is no file: {error.strerror}") from None
    if not is_file:
        raise ValueError("is no file")
    return path


def _listen_addresses(text: str) -> tuple[str, ...]:
    return tuple(_named(address, _listen_address) for address in text.split(","))


def _named(word: str, read: Callable[[str], str]) -> str:
    """One word of several: what is wrong names the one."""
    try:
        return read(word)
    except ValueError as error:
        raise ValueError(f"holds {word!r}, which {error}") from None


def _listen_address(text: str) -> str:
    address = grpc_address(text)
    if not address.startswith("unix:") and not is_ip(HostAndPort.parse(address).host):
        raise ValueError("names a host; Envoy looks for workers at IP addresses only")
    return address


def _admin_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if text and not _ADMIN_TOKEN.fullmatch(text):
        raise ValueError("must be 32 to 512 of A-Z a-z 0-9 . _ ~ + / = -")
    return token


def _project_id(text: str) -> str:
    if not _PROJECT_ID.fullmatch(text):
        raise ValueError("is no project id, as my-project-1 is")
    return text


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < SECRET_BYTES["HS256"]:
        raise ValueError(f"must be at least {SECRET_BYTES['HS256']} bytes long")
    return secret


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("is no folder")
    return path


def _header_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if len(names) != _HEADERS or not all(map(_HEADER_NAME.fullmatch, names)):
        raise ValueError("must be three header names with commas between them")
    return names


def _client_names(text: str) -> tuple[str, ...]:
    return tuple(_named(name, _client_name) for name in text.split(","))


def _client_name(text: str) -> str:
    if len(text) > _LONGEST_NAME or not _CLIENT_NAME.fullmatch(text):
        raise ValueError("is neither spiffe://DOMAIN/PATH nor a DNS name in lower case")
    return text


Share = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
ExistingFolder = Annotated[Path, AfterValidator(_existing_folder)]
HeaderNameList = Annotated[tuple[str, str, str], BeforeValidator(_header_names)]
ExistingFile = Annotated[Path, AfterValidator(_existing_file)]
ListenAddresses = Annotated[tuple[str, ...], BeforeValidator(_listen_addresses)]
ListenPlace = Annotated[HostAndPort, BeforeValidator(HostAndPort.parse)]
Destination = Annotated[HostAndPort, BeforeValidator(destination)]
# Envoy binds to addresses and resolves no names for it.
EnvoyHost = Annotated[str, AfterValidator(ip)]
AdminToken = Annotated[SecretStr, AfterValidator(_admin_token)]
ProjectId = Annotated[str, AfterValidator(_project_id)]
ClientNameList = Annotated[tuple[str, ...], BeforeValidator(_client_names)]
Secret = Annotated[SecretStr, AfterValidator(_long_secret)]
