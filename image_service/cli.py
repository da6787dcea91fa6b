"""The command line: parse, call, say what went wrong, exit code."""

import argparse
import asyncio
import difflib
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from image_service.clock import SystemClock
from image_service.errors import ConfigurationError, ImageServiceError
from image_service.http import Routes
from image_service.observe import configure_logging
from image_service.policy_fragment import policy_fragment
from image_service.serve import serve
from image_service.settings import (
    DEFAULT_LISTEN,
    DEFAULT_OPERATIONS_LISTEN,
    DEFAULT_QUEUE_LIMIT,
    DEFAULT_WORKER_OPERATIONS_LISTEN,
    DEFAULT_WORKERS,
    Settings,
)
from image_service.work import work

# argparse has no public name for what `add_subparsers` returns.
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2

_EPILOG: Final = """\
Every flag may be given as the environment variable beside it; the flag wins. Spans go to the
OTLP/gRPC collector at OTEL_EXPORTER_OTLP_ENDPOINT (http://HOST:PORT), if that is set. Two more may
hold passwords and are variables only:
  IMAGE_QUEUE_URL  the Redis that keeps jobs, shared by all processes (default REDIS_URL; required)
  IMAGE_FILES_URL  uploads and results: file://, gs:// or s3:// (default: a folder for temporary
                   files, enough where all processes are on one machine)
Exit codes: 0 stopped as asked, 1 failed at run time, 2 wrong usage or settings."""
_SERVE_EPILOG: Final = f"""\
{_EPILOG}
The service trusts the identity headers of the sidecar, so let nothing but Envoy reach it."""
_FRAGMENT_EPILOG: Final = """\
The policy names the file in its `include`; then the sidecar counts and refuses as the marks say.
Exit codes: 0 done or equal, 1 FILE differs or cannot be used, 2 the marks contradict each other."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run a command and give its exit code."""
    flags = _parser().parse_args(argv)
    environment = os.environ if environ is None else environ
    try:
        if flags.command == "policy-fragment":
            return _policy_fragment(flags)
        life = serve if flags.command == "serve" else work
        return _run(life, Settings.load({**environment, **_given(flags)}))
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"image_service: {problem}", file=sys.stderr)
        return BAD_USAGE


def _policy_fragment(flags: argparse.Namespace) -> int:
    fragment = policy_fragment(Routes.endpoints())
    file: Path | None = flags.check or flags.output
    if file is None:
        print(fragment, end="")
        return OK
    try:
        if flags.check:
            return _compare(file, fragment)
        file.write_text(fragment, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        print(f"image_service: {file}: {reason}", file=sys.stderr)
        return FAILED
    return OK


def _compare(file: Path, fragment: str) -> int:
    found = file.read_text(encoding="utf-8")
    if found == fragment:
        return OK
    lines = found.splitlines(), fragment.splitlines()
    for line in difflib.unified_diff(*lines, str(file), "the marks say", n=0, lineterm=""):
        print(line)
    return FAILED


def _run(life: Callable[[Settings], Coroutine[object, object, None]], settings: Settings) -> int:
    configure_logging(debug=settings.debug, clock=SystemClock())
    try:
        asyncio.run(life(settings))
    except* (ImageServiceError, OSError) as group:
        # One line for the first cause; a traceback would say no more.
        first = _first(group)
        print(f"image_service: {first}", file=sys.stderr)
        return_code = BAD_USAGE if isinstance(first, ConfigurationError) else FAILED
    else:
        return_code = OK
    return return_code


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _given(flags: argparse.Namespace) -> Mapping[str, str]:
    names = {
        "IMAGE_LISTEN": "listen",
        "IMAGE_OPERATIONS_LISTEN": "operations_listen",
        "IMAGE_WORKER_OPERATIONS_LISTEN": "worker_operations_listen",
        "IMAGE_WORKERS": "workers",
        "IMAGE_QUEUE_LIMIT": "queue_limit",
        "DEBUG": "debug",
    }
    given = {name: getattr(flags, flag, None) for name, flag in names.items()}
    return {name: value for name, value in given.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="image_service", description="Enlarges images behind the authorization sidecar."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands)
    _add_work(commands)
    _add_policy_fragment(commands)
    return parser


def _add_serve(commands: _Commands) -> None:
    command = commands.add_parser(
        "serve",
        help="answer requests until SIGTERM, then drain",
        description="Answer requests until SIGTERM or SIGINT, then finish those in hand.",
        epilog=_SERVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help=f"where to listen; port 0 takes a free one (IMAGE_LISTEN, default {DEFAULT_LISTEN})",
    )
    command.add_argument(
        "--operations-listen",
        metavar="HOST:PORT",
        help="where metrics and probes are answered "
        f"(IMAGE_OPERATIONS_LISTEN, default {DEFAULT_OPERATIONS_LISTEN})",
    )
    command.add_argument(
        "--queue-limit",
        metavar="N",
        help=f"jobs that may wait (IMAGE_QUEUE_LIMIT, default {DEFAULT_QUEUE_LIMIT})",
    )
    _add_debug(command)


def _add_work(commands: _Commands) -> None:
    command = commands.add_parser(
        "work",
        help="enlarge images until SIGTERM, then finish or hand back",
        description="Take jobs until SIGTERM or SIGINT, then finish those in hand or hand them"
        " back.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--operations-listen",
        dest="worker_operations_listen",
        metavar="HOST:PORT",
        help="where metrics and probes are answered "
        f"(IMAGE_WORKER_OPERATIONS_LISTEN, default {DEFAULT_WORKER_OPERATIONS_LISTEN})",
    )
    command.add_argument(
        "--workers",
        metavar="N",
        help=f"images worked on at once (IMAGE_WORKERS, default {DEFAULT_WORKERS})",
    )
    _add_debug(command)


def _add_debug(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--debug",
        action="store_const",
        const="true",
        help="readable log lines, and more of them (DEBUG)",
    )


def _add_policy_fragment(commands: _Commands) -> None:
    command = commands.add_parser(
        "policy-fragment",
        help="write the limits that handlers are marked with, for the sidecar's policy",
        description="Print the limits of @rate_limit marks as a part of the sidecar's policy.",
        epilog=_FRAGMENT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="FILE", type=Path, help="write them into FILE")
    where.add_argument(
        "--check", metavar="FILE", type=Path, help="say in what FILE differs, and write nothing"
    )
