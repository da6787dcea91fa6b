"""The command line: parse, call, print, exit code. Every setting is a flag too, secrets aside.

Exit codes: 0 done, 1 could not run or keep running, 2 the configuration or the call is wrong.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import uvloop
from pydantic import SecretStr

from authz_service import __version__
from authz_service.commands import (
    ask_rate_limit,
    check_descriptors,
    check_policy,
    drain,
    explain,
    keys,
    render_k8s,
    usage,
)
from authz_service.commands.command_line import (
    Commands,
    checked_settings,
    place,
    required_policy,
)
from authz_service.commands.exit_codes import DONE, FAILED, exit_code
from authz_service.envoy_files import write_envoy_files
from authz_service.errors import ConfigurationError
from authz_service.local.console import Console
from authz_service.local.stack import run_stack
from authz_service.observe.logging import configure_logging
from authz_service.policy.schema import PolicyFile
from authz_service.serve import serve
from authz_service.settings import Settings
from authz_service.transports.probe import is_serving
from authz_service.worker import work

_WORKER = "worker"
_LOCAL_EPILOG = (
    "Environment: PORT, AUTHZ_SCRAPE_PORT, AUTHZ_APP_PORT, AUTHZ_OPERATIONS_PORT,"
    " IMAGE_OPERATIONS_PORT, IMAGE_WORKER_OPERATIONS_PORT (0: a free one), AUTHZ_RUN_DIR,"
    " AUTHZ_POLICY_FILE, AUTHZ_KEYS_FILE, AUTHZ_PEPPER_FILE, API_KEYS, JWT_SECRET,"
    " AUTHZ_GRPC_SERVER, GOOGLE_CLOUD_PROJECT,"
    " AUTHZ_DECISION_LOG_DENIALS, AUTHZ_DECISION_LOG_ALLOWS,"
    " AUTHZ_REPLICAS, AUTHZ_RATELIMIT_DIR, AUTHZ_RATELIMIT_ALGORITHM,"
    " AUTHZ_RATELIMIT_MERGE_DOMAINS, AUTHZ_RATELIMIT_SHADOW, AUTHZ_RATELIMIT_QUOTA,"
    " AUTHZ_RATELIMIT_HEADERS, AUTHZ_RATELIMIT_METADATA, AUTHZ_RATELIMIT_NEAR,"
    " AUTHZ_RATELIMIT_JSON,"
    " OTEL_EXPORTER_OTLP_ENDPOINT, AUTHZ_TRACE_SAMPLING,"
    " IMAGE_WORKERS, IMAGE_QUEUE_LIMIT, DEBUG, AUTHZ_ADMIN_TOKEN and with it AUTHZ_ADMIN_PORT, and"
    " what the policy names, as CORS_ORIGINS. REDIS_URL, AUTHZ_KEYS_URL, AUTHZ_WORKERS,"
    " IMAGE_QUEUE_URL and IMAGE_FILES_URL are not read: the stack starts two workers and two"
    " Valkeys of its own, and keeps images in the run folder."
)
_EPILOG = "Exit codes: 0 done; 1 could not run or keep running; 2 configuration or call is wrong."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = _worker_parser() if given[:1] == [_WORKER] else _parser()
    parsed = parser.parse_args(given)
    return exit_code(partial(parsed.run, parsed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="authz_service",
        description="Authentication, tiers and exact rate limits behind Envoy.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_local(commands)
    check_policy.add(commands)
    check_descriptors.add(commands)
    _add_policy_schema(commands)
    _add_render(commands)
    _add_healthcheck(commands)
    drain.add(commands)
    explain.add(commands)
    usage.add(commands)
    ask_rate_limit.add(commands)
    keys.add(commands)
    return parser


def _add_serve(commands: Commands) -> None:
    command = commands.add_parser(
        "serve",
        help="answer Envoy's checks",
        description="Write Envoy's configuration into the run folder and answer its checks.",
        epilog="API_KEYS, JWT_SECRET, REDIS_URL, AUTHZ_KEYS_URL and AUTHZ_ADMIN_TOKEN hold secrets:"
        " they have no flags.",
    )
    _add_settings(command)
    command.set_defaults(run=_serve)


def _worker_parser() -> argparse.ArgumentParser:
    """What `serve` starts; not for people, so no menu shows it."""
    parser = argparse.ArgumentParser(prog="authz_service")
    parser.add_argument("command", choices=[_WORKER])
    parser.add_argument("index", type=int)
    parser.set_defaults(run=_worker)
    return parser


def _add_local(commands: Commands) -> None:
    command = commands.add_parser(
        "local",
        help="run the whole stack on this machine",
        description="Run two Valkeys, the sidecar, the image service and Envoy on loopback ports.",
        epilog=_LOCAL_EPILOG,
    )
    command.add_argument("--port", help="the public port (PORT, 8000)")
    command.add_argument("--policy", help="the policy (AUTHZ_POLICY_FILE, the image service's)")
    command.set_defaults(run=_local)


def _add_policy_schema(commands: Commands) -> None:
    command = commands.add_parser(
        "policy-schema", help="print the JSON Schema of policy files, for editors"
    )
    command.set_defaults(run=_policy_schema)


def _add_render(commands: Commands) -> None:
    rendered = commands.add_parser(
        "render",
        help="write what others run with: Envoy's configuration, a ConfigMap",
        description="Write files that are made from the policy, and exit.",
    ).add_subparsers(title="what", required=True, metavar="WHAT")
    command = rendered.add_parser(
        "envoy",
        help="Envoy's configuration",
        description="Write the files that `serve` would write, into another folder.",
    )
    command.add_argument("folder", type=Path)
    _add_settings(command)
    command.set_defaults(run=_render)
    render_k8s.add(rendered)


def _add_healthcheck(commands: Commands) -> None:
    command = commands.add_parser(
        "healthcheck",
        help="ask a running worker for its health",
        description="Exit code 0 if it serves, 1 if not.",
    )
    command.add_argument("address", type=place, help="unix:PATH or HOST:PORT")
    command.set_defaults(run=_healthcheck)


def _add_settings(command: argparse.ArgumentParser) -> None:
    """A flag for every setting. Secrets have none: arguments show in process lists."""
    for name, field in Settings.model_fields.items():
        if field.annotation is SecretStr:
            continue
        command.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"setting:{field.alias}",
            metavar="VALUE",
            help=f"{field.description} ({field.alias})".replace("%", "%%"),
        )


def _environment(parsed: argparse.Namespace) -> dict[str, str]:
    """The environment, with flags over variables."""
    prefix = "setting:"
    flags = {
        name.removeprefix(prefix): value
        for name, value in vars(parsed).items()
        if name.startswith(prefix) and value is not None
    }
    return {**os.environ, **flags}


def _serve(parsed: argparse.Namespace) -> int:
    environment = _environment(parsed)
    settings = checked_settings(environment)
    configure_logging(debug=settings.debug, project=settings.google_cloud_project)
    asyncio.run(serve(settings, environment))
    return DONE


def _worker(parsed: argparse.Namespace) -> int:
    environment = dict(os.environ)
    settings = checked_settings(environment)
    if not 0 <= parsed.index < settings.workers:
        raise ConfigurationError(
            [f"worker {parsed.index}: AUTHZ_WORKERS is {settings.workers}, and the first is 0"]
        )
    configure_logging(debug=settings.debug, project=settings.google_cloud_project)
    uvloop.run(work(parsed.index, settings, environment))
    return DONE


def _local(parsed: argparse.Namespace) -> int:
    environment = dict(os.environ)
    if parsed.port is not None:
        environment["PORT"] = parsed.port
    policy = parsed.policy or environment.get("AUTHZ_POLICY_FILE") or _image_service_policy()
    asyncio.run(
        run_stack(policy_file=Path(policy), environment=environment, console=Console(sys.stdout))
    )
    return DONE


def _image_service_policy() -> str:
    """The policy that lies beside the application, found without importing it."""
    found = find_spec("image_service")
    if found is None or found.origin is None:
        raise ConfigurationError(["AUTHZ_POLICY_FILE: is required"])
    return str(Path(found.origin).with_name("policy.yaml"))


def _policy_schema(_: argparse.Namespace) -> int:
    print(json.dumps(PolicyFile.model_json_schema(), indent=2))
    return DONE


def _render(parsed: argparse.Namespace) -> int:
    environment = _environment(parsed)
    settings = checked_settings(environment)
    policy = required_policy(settings, environment)
    for file in write_envoy_files(policy, settings, folder=parsed.folder):
        print(file)
    return DONE


def _healthcheck(parsed: argparse.Namespace) -> int:
    if asyncio.run(is_serving(parsed.address)):
        print("serving")
        return DONE
    print(f"error: nothing at {parsed.address} serves checks", file=sys.stderr)
    return FAILED
