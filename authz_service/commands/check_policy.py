"""`authz_service check-policy`: a policy as the server compiles it, or everything wrong with it."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from authz_service.commands.command_line import Commands
from authz_service.commands.exit_codes import DONE, WRONG
from authz_service.commands.words import aligned, limit_in_words, size_in_words
from authz_service.core.rules import Authentication, Limit, Policy, Route
from authz_service.errors import ConfigurationError
from authz_service.identity.key_sources import trust
from authz_service.policy.notes import warnings
from authz_service.policy.sources import load_policy


def add(commands: Commands) -> None:
    """Put `check-policy` into the menu."""
    command = commands.add_parser(
        "check-policy",
        help="read a policy as the server does, and say what is wrong",
        description="Exit code 0 and the compiled policy, or 2 and every problem with its line.",
    )
    command.add_argument("policy", type=Path)
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    try:
        policy = load_policy(parsed.policy, os.environ)
        trust(policy.providers, folder=parsed.policy.parent, environment=os.environ)
    except ConfigurationError as error:
        if not parsed.json:
            raise
        print(json.dumps({"ok": False, "problems": error.problems}, indent=2))
        return WRONG
    notes = warnings(policy)
    if parsed.json:
        print(json.dumps({"ok": True, "warnings": notes, "policy": _as_data(policy)}, indent=2))
        return DONE
    print("\n".join(_lines(parsed.policy, policy)))
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    return DONE


def _as_data(policy: Policy) -> dict[str, object]:
    """All that a policy says; not what only a check in progress says of a charge."""
    return asdict(policy, dict_factory=lambda pairs: {k: v for k, v in pairs if k != "held"})


def _lines(file: Path, policy: Policy) -> Iterator[str]:
    yield f"{file} is right: {len(policy.tiers)} tiers, {len(policy.routes)} routes."
    yield ""
    yield f"tiers, with quotas by the calendar of {policy.quota_time_zone}"
    tiers = [
        (
            f"  {tier.name}",
            _limit(tier.rate) if tier.rate else "no rate",
            _limit(tier.quota) if tier.quota else "no quota",
            f"files up to {size_in_words(tier.max_upload_bytes)}",
        )
        for tier in policy.tiers.values()
    ]
    yield from aligned(tiers)
    yield ""
    rate = limit_in_words(policy.bad_credentials)
    yield f"an address may present bad credentials {rate}"
    yield ""
    yield "routes, of which the first that matches decides"
    width = max(len(route.name) for route in policy.routes)
    for route in policy.routes:
        methods = ", ".join(route.methods)
        yield f"  {route.name:<{width}}  {methods} {', '.join(route.paths)}"
        yield f"  {'':<{width}}  {'; '.join(_terms(route))}"


def _terms(route: Route) -> Iterator[str]:
    if route.shadow:
        yield "in shadow"
    if route.authentication is Authentication.NONE:
        yield "open to everybody"
        return
    kinds = f" ({', '.join(route.credentials)})" if route.credentials else ""
    yield f"credential {route.authentication}{kinds}"
    if route.tiers:
        yield f"tier {' or '.join(route.tiers)}"
    if route.scopes:
        yield f"scope {' and '.join(route.scopes)}"
    if route.cost:
        yield f"{route.cost} from rate and quota"
    for limit in route.limits:
        yield f"{limit.name} {_limit(limit)}"
    if route.forward_limits:
        yield "limits forwarded"
    yield f"store away: {route.on_store_failure}"


def _limit(limit: Limit) -> str:
    words = limit_in_words(limit)
    return f"{words} (store away: {limit.on_store_failure})" if limit.on_store_failure else words
