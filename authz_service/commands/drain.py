"""`authz_service drain`: have Envoy finish before it is stopped, as `preStop` of its container."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from authz_service.commands.exit_codes import DONE, exit_code
from authz_service.errors import EnvoyError
from authz_service.run_folder import ADMIN_SOCKET
from authz_service.settings import load_settings
from authz_service.transports.envoy_drain import FINISH_SECONDS, drain_envoy

if TYPE_CHECKING:
    from authz_service.commands.command_line import Commands  # all that other commands need

GOODBYE = 0.75
"""The part of AUTHZ_DRAIN_SECONDS in which Envoy takes requests. Its door is closed before the
application, which lives on for the whole, is told to stop.
"""

_SETTINGS = ("AUTHZ_RUN_DIR", "AUTHZ_DRAIN_SECONDS")
_DESCRIPTION = f"""\
Have Envoy finish before it is stopped: run this as `preStop` of its container, or by hand, and stop
Envoy when it returns. SIGTERM alone cuts off every request under way.

  1. For three quarters of AUTHZ_DRAIN_SECONDS Envoy goes on taking requests, while its health
     checks fail and every answer asks for its connection to be closed: whoever sends requests here
     needs that long to notice.
  2. It takes no more connections. The last quarter is for the application behind it, which is told
     to stop when AUTHZ_DRAIN_SECONDS are over.
  3. Requests under way have up to {FINISH_SECONDS:.0f} s more; without any, this returns at once.
"""
_EPILOG = """\
Reads AUTHZ_RUN_DIR and AUTHZ_DRAIN_SECONDS as the service does, and talks to Envoy's admin socket
in the run folder, as the user that Envoy runs as. A pod's grace period must be longer than both
times together.

Exit codes: 0 nothing is under way; 1 no Envoy answers, or requests are still under way at the end;
2 a variable is wrong. Whichever it is, Kubernetes goes on; any but 0 is an event of the pod,
FailedPreStopHook, and the kubelet's log has the line.
"""


def add(commands: "Commands") -> None:
    """Put `drain` into the menu."""
    command = commands.add_parser(
        "drain",
        help="have Envoy finish before it is stopped",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_drain)


def main(arguments: Sequence[str]) -> int:
    """Run this command, without the menu of all."""
    parser = argparse.ArgumentParser(prog="authz_service")
    add(parser.add_subparsers(required=True))
    return exit_code(partial(_drain, parser.parse_args(arguments)))


def _drain(_: argparse.Namespace) -> int:
    settings = load_settings(os.environ, only=_SETTINGS)
    left = drain_envoy(
        settings.run_dir / ADMIN_SOCKET,
        notice_s=GOODBYE * settings.drain_seconds,
        finish_s=FINISH_SECONDS,
        say=partial(print, flush=True),
    )
    if left:
        raise EnvoyError(f"{left} under way after {FINISH_SECONDS:.0f} s")
    print("drained")
    return DONE
