"""What every family of commands needs: the menu's type, exit codes, settings, who is calling."""

import argparse
import os
import pwd
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from authz_service.addresses import grpc_address
from authz_service.core.rules import Policy
from authz_service.errors import ConfigurationError
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings, load_settings
from authz_service.storage.from_url import key_store_url_problems, store_url_problems

# argparse has no public name for what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

STORE_TIMEOUT_MS: Final = 2_000
"""A person waits longer than a request may."""

_STORE_URLS: Final[Mapping[str, Callable[[str], tuple[str, ...]]]] = {
    "REDIS_URL": store_url_problems,
    "AUTHZ_KEYS_URL": key_store_url_problems,
}


def checked_settings(environment: Mapping[str, str]) -> Settings:
    """The settings, once the URLs of stores are right too: settings themselves know no stores.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong.
    """
    problems = [
        f"{name}: {problem.removeprefix('store URL: ')}"
        for name, problems_of in _STORE_URLS.items()
        if (url := environment.get(name))
        for problem in problems_of(url)
    ]
    try:
        settings = load_settings(environment)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *problems]) from None
    if problems:
        raise ConfigurationError(problems)
    return settings


def required_policy(settings: Settings, environment: Mapping[str, str]) -> Policy:
    """The policy, for a command that can do nothing without one.

    Raises:
        ConfigurationError: there is none, or with every problem of it.
    """
    if settings.policy_file is None:
        raise ConfigurationError(["AUTHZ_POLICY_FILE: is required"])
    return load_policy(settings.policy_file, environment)


def place(text: str) -> str:
    """The address of a gRPC server, as an argument: `unix:PATH` or `HOST:PORT`."""
    try:
        return grpc_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def actor() -> str:
    """Who is calling, for audit lines: by the process's own user, which no variable forges."""
    user = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user).pw_name}"
    except KeyError:  # a container's user without an entry
        return f"cli:{user}"
