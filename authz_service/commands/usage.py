"""`authz_service usage`: what a subject or a descriptor has left, and having it start anew."""

import argparse
import asyncio
import json
import os

from authz_service.commands import descriptor_usage
from authz_service.commands.command_line import Commands, actor, checked_settings, required_policy
from authz_service.commands.counters import NOT_SHARED, counters
from authz_service.commands.exit_codes import DONE
from authz_service.commands.words import aligned, limit_in_words, time_in_words
from authz_service.core.limit_headers import seconds
from authz_service.core.meter import Reading
from authz_service.core.rules import Limit, Policy
from authz_service.core.usage import all_limits, limits_of, limits_over_all, names_of
from authz_service.errors import ConfigurationError
from authz_service.observe.logging import configure_logging
from authz_service.settings import Settings
from authz_service.usage import (
    OVER_ALL,
    SUBJECT_PREFIXES,
    chosen_limits,
    is_subject,
    read_usage,
    reset_usage,
    usage_as_json,
)

_SUBJECT_HELP = (
    "as logs and x-authz-subject show it: key:ID, jwt:PROVIDER:SUB or anon:ADDRESS;"
    " global: the limits over all callers"
)
_NO_LIMITS = "the policy has no limits over all callers"
_EPILOG = (
    "Reads AUTHZ_POLICY_FILE and REDIS_URL as the service does. Limits of a key's own are known to"
    " the admin API: GET and DELETE /v1/keys/ID/usage."
)


def add(commands: Commands) -> None:
    """Put `usage` and its own commands into the menu."""
    command = commands.add_parser(
        "usage", help="show what a subject has left, or reset it", epilog=_EPILOG
    )
    verbs = command.add_subparsers(title="commands", required=True, metavar="COMMAND")
    show = verbs.add_parser("show", help="what is left of every limit", epilog=_EPILOG)
    show.add_argument("subject", help=_SUBJECT_HELP)
    show.add_argument("--tier", help="the caller's tier")
    show.add_argument("--json", action="store_true", help="print the result as JSON")
    show.set_defaults(run=_show)
    reset = verbs.add_parser("reset", help="forget what was counted", epilog=_EPILOG)
    reset.add_argument("subject", help=_SUBJECT_HELP)
    reset.add_argument("--limit", help="this limit alone; without it, every one of the policy")
    reset.set_defaults(run=_reset)
    descriptor_usage.add(verbs)


def _show(parsed: argparse.Namespace) -> int:
    settings, policy = _configuration(parsed.subject)
    limits = _limits_to_show(policy, parsed.subject, parsed.tier)

    async def read() -> tuple[Reading, ...]:
        async with counters(settings) as store:
            return await read_usage(store, parsed.subject, limits)

    readings = asyncio.run(read())
    if parsed.json:
        of_tier = {} if parsed.tier is None else {"tier": parsed.tier}
        shown = [usage_as_json(reading) for reading in readings]
        print(json.dumps({"subject": parsed.subject, **of_tier, "limits": shown}, indent=2))
    elif not readings:
        print(_NO_LIMITS if parsed.tier is None else f"tier {parsed.tier} has no limits")
    else:
        print("\n".join(_table(readings)))
    return DONE


def _limits_to_show(policy: Policy, subject: str, name: str | None) -> tuple[Limit, ...]:
    if subject == OVER_ALL:
        if name is not None:
            raise ConfigurationError([f"--tier: has no place here, {OVER_ALL} is no caller"])
        return limits_over_all(policy)
    if name is None:
        raise ConfigurationError(["--tier: is required for a caller"])
    if name not in policy.tiers:
        known = ", ".join(policy.tiers)
        raise ConfigurationError([f"--tier: {name!r} is no tier; known are {known}"])
    return limits_of(policy, policy.tiers[name])


def _table(readings: tuple[Reading, ...]) -> list[str]:
    rows = [
        (
            reading.charge.limit.name,
            limit_in_words(reading.charge.limit),
            f"{reading.remaining} left",
            f"reset in {time_in_words(seconds(reading.reset_ms))}" if reading.reset_ms else "",
        )
        for reading in readings
    ]
    return aligned(rows)


def _reset(parsed: argparse.Namespace) -> int:
    settings, policy = _configuration(parsed.subject)
    limits = _chosen(policy, parsed.subject, parsed.limit)
    configure_logging(debug=settings.debug)

    async def forget() -> None:
        async with counters(settings) as store:
            await reset_usage(store, parsed.subject, limits, actor=actor())

    asyncio.run(forget())
    print(f"{parsed.subject} starts anew with {', '.join(names_of(limits))}")
    return DONE


def _chosen(policy: Policy, subject: str, name: str | None) -> tuple[Limit, ...]:
    over_all = subject == OVER_ALL
    known = limits_over_all(policy) if over_all else all_limits(policy)
    chosen = chosen_limits(known, name)
    if chosen:
        return chosen
    if not known:
        raise ConfigurationError([_NO_LIMITS if over_all else "the policy has no limits"])
    names = ", ".join(names_of(known))
    raise ConfigurationError([f"--limit: {name!r} is no limit of the policy; known are {names}"])


def _configuration(subject: str) -> tuple[Settings, Policy]:
    settings = checked_settings(os.environ)
    problems = []
    if not is_subject(subject):
        known = ", ".join(SUBJECT_PREFIXES)
        problems.append(f"SUBJECT: {subject!r} begins with none of {known} and is not {OVER_ALL}")
    if settings.counts_in_memory:
        problems.append(NOT_SHARED)
    if problems:
        raise ConfigurationError(problems)
    return settings, required_policy(settings, os.environ)
