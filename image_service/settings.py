"""The operator's settings: one frozen value, built from a mapping that is passed in."""

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from image_service.errors import ConfigurationError

DEFAULT_LISTEN: Final = "127.0.0.1:8080"
DEFAULT_OPERATIONS_LISTEN: Final = "127.0.0.1:9103"
DEFAULT_WORKER_OPERATIONS_LISTEN: Final = "127.0.0.1:9105"
DEFAULT_WORKERS: Final = 2
DEFAULT_QUEUE_LIMIT: Final = 64
MAX_WORKERS: Final = 64
MAX_QUEUE_LIMIT: Final = 10_000
MAX_PORT: Final = 65_535

_QUEUE_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})
_FILES_SCHEMES: Final = frozenset({"file", "gs", "s3"})
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """The form that `IMAGE_LISTEN` takes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """Where a store is. It may hold a password: `str` gives its kind, and a folder's whole path."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        """Enough to tell stores apart in a log."""
        scheme = urlsplit(self.value).scheme
        return self.value if scheme == "file" else f"{scheme}://…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator decides.

    `queue_url` is the Redis that keeps jobs, `files_url` the store of uploads and results: both
    are shared by every process of the service. `operations_listen` and
    `worker_operations_listen` are where metrics and probes of either process are answered,
    `workers` is the number of images a worker process works on at once, `queue_limit` how many
    may wait, `traces_go_to` the collector of spans, if any; `debug` asks for readable log lines and
    more of them.
    """

    listen: Address
    operations_listen: Address
    worker_operations_listen: Address
    queue_url: Url
    files_url: Url
    workers: int
    queue_limit: int
    traces_go_to: str | None
    debug: bool

    @classmethod
    def load(cls, values: Mapping[str, str]) -> Self:
        """Read the variables, all of them named in `--help`; only the queue has to be set.

        Raises:
            ConfigurationError: with every value that cannot be used.
        """
        read = _Reader(values)
        settings = {
            "listen": read.value("IMAGE_LISTEN", _address, DEFAULT_LISTEN),
            "operations_listen": read.value(
                "IMAGE_OPERATIONS_LISTEN", _address, DEFAULT_OPERATIONS_LISTEN
            ),
            "worker_operations_listen": read.value(
                "IMAGE_WORKER_OPERATIONS_LISTEN", _address, DEFAULT_WORKER_OPERATIONS_LISTEN
            ),
            "queue_url": read.secret("IMAGE_QUEUE_URL", _queue_url, values.get("REDIS_URL", "")),
            "files_url": read.secret("IMAGE_FILES_URL", _files_url, default_files_url()),
            "workers": read.value("IMAGE_WORKERS", _between(1, MAX_WORKERS), str(DEFAULT_WORKERS)),
            "queue_limit": read.value(
                "IMAGE_QUEUE_LIMIT", _between(1, MAX_QUEUE_LIMIT), str(DEFAULT_QUEUE_LIMIT)
            ),
            "traces_go_to": read.secret("OTEL_EXPORTER_OTLP_ENDPOINT", _collector, ""),
            "debug": read.value("DEBUG", _truth, ""),
        }
        if read.problems:
            raise ConfigurationError(read.problems)
        return cls(**settings)  # type: ignore[arg-type]  # none is None without a problem


class _Reader:
    """Reads one variable after the other, and remembers what was wrong with each."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._values = values

    def value(self, name: str, parse: Callable[[str], _Value], default: str) -> _Value | None:
        text = self._values.get(name, default)
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}: {error}, not {text!r}")
            return None

    def secret(self, name: str, parse: Callable[[str], _Value], default: str) -> _Value | None:
        """The same, and what stands there is not repeated."""
        try:
            return parse(self._values.get(name) or default)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return None


def default_files_folder() -> Path:
    """A folder of this machine: enough where all processes of the service are on it."""
    return Path(tempfile.gettempdir()) / "image_service-files"


def default_files_url() -> str:
    """The same as a URL."""
    return default_files_folder().as_uri()


def _queue_url(text: str) -> Url:
    if not text:
        raise ValueError("must be set, or REDIS_URL: jobs are kept there")
    return _url(text, _QUEUE_SCHEMES, "must be redis://, rediss:// or unix://")


def _files_url(text: str) -> Url:
    return _url(text, _FILES_SCHEMES, "must be file://, gs:// or s3://")


def _url(text: str, schemes: frozenset[str], otherwise: str) -> Url:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:  # its text quotes the URL
        raise ValueError(otherwise) from None
    if scheme not in schemes:
        raise ValueError(otherwise)
    return Url(text)


def _address(text: str) -> Address:
    host, colon, digits = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    port = _port(digits)
    if not colon or not host or port is None:
        raise ValueError("must be HOST:PORT")
    return Address(host, port)


def _collector(text: str) -> str | None:
    if not text:
        return None
    scheme, _, place = text.rstrip("/").partition("://")
    try:
        address = _address(place)
    except ValueError:
        address = None
    if scheme != "http" or address is None or not address.port or not _HOST.fullmatch(address.host):
        raise ValueError("must be http://HOST:PORT")
    return f"http://{address}"


def _port(digits: str) -> int | None:
    if not digits.isascii() or not digits.isdigit() or len(digits) > len(str(MAX_PORT)):
        return None
    return int(digits) if int(digits) <= MAX_PORT else None


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= len(str(most)):
            number = int(text)
            if least <= number <= most:
                return number
        raise ValueError(f"must be a whole number from {least} to {most}")

    return parse


def _truth(text: str) -> bool:
    try:
        return _TRUTHS[text.strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None
