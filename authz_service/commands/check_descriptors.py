"""`authz_service check-descriptors`: a folder of rate limit files as the server reads it."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from authz_service.commands.command_line import Commands
from authz_service.commands.exit_codes import DONE, WRONG
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import Algorithm
from authz_service.descriptors.compile import limit_as_data
from authz_service.descriptors.dump import dump, sorted_limits
from authz_service.descriptors.report import Change, changes, wrong_everywhere
from authz_service.descriptors.sources import Examined, examine, hidden_names, read_folder
from authz_service.errors import ConfigurationError


def add(commands: Commands) -> None:
    """Put `check-descriptors` into the menu."""
    command = commands.add_parser(
        "check-descriptors",
        help="read rate limit files as the server does, and say what is wrong",
        description="Exit code 0 and every limit on a line, or 2 and every problem.",
    )
    command.add_argument("folder", type=Path)
    command.add_argument(
        "--merge-domains", action="store_true", help="let several files limit one domain"
    )
    command.add_argument(
        "--algorithm",
        choices=list(Algorithm),
        default=Algorithm.EXACT,
        type=Algorithm,
        help="how limits count that do not say it (exact)",
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.add_argument(
        "--report",
        action="store_true",
        help="print what changes for files that envoyproxy/ratelimit has read until now",
    )
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    try:
        files = read_folder(parsed.folder)
    except ConfigurationError as error:
        return _tell_problems(error.problems, as_json=parsed.json)
    examined = examine(files, merge_domains=parsed.merge_domains, algorithm=parsed.algorithm)
    problems = wrong_everywhere(examined) if parsed.report else examined.problems
    if problems:
        return _tell_problems(map(str, problems), as_json=parsed.json)
    if parsed.report:
        return _tell_changes(changes(examined, hidden_names(parsed.folder)), as_json=parsed.json)
    return _tell_rules(examined, as_json=parsed.json)


def _tell_problems(problems: Iterable[str], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "problems": list(problems)}, indent=2))
        return WRONG
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return WRONG


def _tell_changes(found: list[Change], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"ok": True, "changes": list(map(str, found))}, indent=2))
        return DONE
    for change in found:
        print(change)
    return DONE


def _tell_rules(examined: Examined, *, as_json: bool) -> int:
    rules = examined.compiled.rules
    if as_json:
        print(json.dumps({"ok": True, "digest": rules.digest, "limits": _as_data(rules)}, indent=2))
        return DONE
    if rules.is_empty:
        print("warning: there is no limit in it", file=sys.stderr)
    print(dump(rules), end="")
    return DONE


def _as_data(rules: DescriptorRules) -> list[dict[str, object]]:
    return [{"limit": name, **(limit_as_data(limit) or {})} for name, limit in sorted_limits(rules)]
