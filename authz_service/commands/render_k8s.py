"""`authz_service render k8s`: the policy, and the files that it names, as a ConfigMap."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from authz_service.commands.command_line import Commands
from authz_service.commands.exit_codes import DONE
from authz_service.core.provider import SecretFile
from authz_service.errors import ConfigurationError, ListenError
from authz_service.policy.sources import load_policy, policy_files

POLICY_KEY: Final = "policy.yaml"
"""What the policy is called in the folder that the ConfigMap is mounted as."""

_HEAD: Final = """\
# Written by `authz_service render k8s` from the policy.
# Change that and write it anew: what is changed here is lost.
"""
_DESCRIPTION: Final = """\
Write the policy, and the fragments and public keys that it names, into FILE as a ConfigMap. The
policy is judged first, as the server would: variables that it requires must be set, and stand in
the ConfigMap by their names.
"""


class _Block(str):
    """Text that stands in YAML as it is, line by line."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes blocks as blocks."""


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def add(rendered: Commands) -> None:
    """Put `k8s` among what can be rendered."""
    command = rendered.add_parser(
        "k8s", help="the policy as a ConfigMap of Kubernetes", description=_DESCRIPTION
    )
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--name", required=True, help="the name of the ConfigMap")
    command.add_argument("--policy-file", required=True, type=Path, help="the policy")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    text = policy_config_map(parsed.policy_file, name=parsed.name, environment=os.environ)
    try:
        parsed.file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ListenError(f"cannot write to {parsed.file}: {error.strerror}") from error
    print(parsed.file)
    return DONE


def policy_config_map(policy_file: Path, *, name: str, environment: Mapping[str, str]) -> str:
    """The ConfigMap as YAML.

    Raises:
        ConfigurationError: with every problem of the policy, or of its files as keys of a
            ConfigMap, which has no folders and holds no secrets.
    """
    _refuse_secret_files(policy_file, environment)
    main, *named = policy_files(policy_file, environment)
    data = {POLICY_KEY: _text(main)}
    for file in named:
        key = str(file.relative_to(main.parent)) if file.is_relative_to(main.parent) else str(file)
        if "/" in key or key in data:
            raise ConfigurationError(
                [f"{policy_file}: names {key!r}, which cannot lie beside {POLICY_KEY}"]
            )
        data[key] = _text(file)
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
    }
    return _HEAD + yaml.dump(config_map, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _refuse_secret_files(policy_file: Path, environment: Mapping[str, str]) -> None:
    problems = [
        f"{policy_file}: jwt {provider.name}: its secret_file is no part of a ConfigMap;"
        " write secret_env"
        for provider in load_policy(policy_file, environment).providers
        if isinstance(provider.keys, SecretFile)
    ]
    if problems:
        raise ConfigurationError(problems)


def _text(file: Path) -> _Block:
    try:
        return _Block(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{file}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise ConfigurationError([f"{file}: is no text"]) from None
