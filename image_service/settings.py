"""The operator's settings: one frozen value, built from a mapping that is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from image_service.errors import ConfigurationError

DEFAULT_LISTEN: Final = "127.0.0.1:8080"
DEFAULT_OPERATIONS_LISTEN: Final = "127.0.0.1:9103"
DEFAULT_WORKERS: Final = 2
DEFAULT_QUEUE_LIMIT: Final = 64
MAX_WORKERS: Final = 64
MAX_QUEUE_LIMIT: Final = 10_000
MAX_PORT: Final = 65_535

_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False, "": False}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator decides.

    `operations_listen` is where metrics and probes are answered, `workers` the number of images
    worked on at once, `queue_limit` how many more may wait; `debug` asks for readable log lines
    and more of them.
    """

    listen: Address
    operations_listen: Address
    workers: int
    queue_limit: int
    debug: bool

    @classmethod
    def load(cls, values: Mapping[str, str]) -> Self:
        """Read the variables, all of them named in `--help`; none has to be set.

        Raises:
            ConfigurationError: with every value that cannot be used.
        """
        problems: list[str] = []

        def read(name: str, parse: Callable[[str], _Value], default: str) -> _Value | None:
            text = values.get(name, default)
            try:
                return parse(text)
            except ValueError as error:
                problems.append(f"{name}: {error}, not {text!r}")
                return None

        listen = read("IMAGE_LISTEN", _address, DEFAULT_LISTEN)
        operations_listen = read("IMAGE_OPERATIONS_LISTEN", _address, DEFAULT_OPERATIONS_LISTEN)
        workers = read("IMAGE_WORKERS", _between(1, MAX_WORKERS), str(DEFAULT_WORKERS))
        queue_limit = read(
            "IMAGE_QUEUE_LIMIT", _between(1, MAX_QUEUE_LIMIT), str(DEFAULT_QUEUE_LIMIT)
        )
        debug = read("DEBUG", _truth, "")
        if (
            listen is None
            or operations_listen is None
            or workers is None
            or queue_limit is None
            or debug is None
        ):
            raise ConfigurationError(problems)
        return cls(
            listen=listen,
            operations_listen=operations_listen,
            workers=workers,
            queue_limit=queue_limit,
            debug=debug,
        )


def _address(text: str) -> Address:
    host, colon, digits = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    port = _port(digits)
    if not colon or not host or port is None:
        raise ValueError("must be HOST:PORT")
    return Address(host, port)


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
