"""`authz_service usage`: what a subject has left, and having it start anew."""

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from authz_service.clock import SystemClock
from authz_service.commands.command_line import (
    DONE,
    STORE_TIMEOUT_MS,
    Commands,
    actor,
    checked_settings,
    required_policy,
)
from authz_service.commands.words import aligned, limit_in_words, time_in_words
from authz_service.core.limit_headers import seconds
from authz_service.core.meter import Reading
from authz_service.core.rules import Limit, Policy
from authz_service.core.usage import all_limits, names_of
from authz_service.errors import ConfigurationError
from authz_service.observe.logging import configure_logging
from authz_service.settings import Settings
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import store_from_url
from authz_service.usage import (
    SUBJECT_PREFIXES,
    chosen_limits,
    read_usage,
    reset_usage,
    usage_as_json,
)

_SUBJECT_HELP = "as logs and x-authz-subject show it: key:ID, jwt:PROVIDER:SUB or anon:ADDRESS"
_EPILOG = (
    "Reads AUTHZ_POLICY_FILE and REDIS_URL as the service does. Limits of a key's own are known to"
    " the admin API: GET and DELETE /v1/keys/ID/usage."
)


def add(commands: Commands) -> None:
    """Put `usage show` and `usage reset` into the menu."""
    command = commands.add_parser(
        "usage", help="show what a subject has left, or reset it", epilog=_EPILOG
    )
    verbs = command.add_subparsers(title="commands", required=True, metavar="COMMAND")
    show = verbs.add_parser("show", help="what is left of every limit", epilog=_EPILOG)
    show.add_argument("subject", help=_SUBJECT_HELP)
    show.add_argument("--tier", required=True, help="the subject's tier")
    show.add_argument("--json", action="store_true", help="print the result as JSON")
    show.set_defaults(run=_show)
    reset = verbs.add_parser("reset", help="forget what was counted", epilog=_EPILOG)
    reset.add_argument("subject", help=_SUBJECT_HELP)
    reset.add_argument("--limit", help="this limit alone; without it, every one of the policy")
    reset.set_defaults(run=_reset)


def _show(parsed: argparse.Namespace) -> int:
    settings, policy = _configuration(parsed.subject)
    tier = policy.tiers.get(parsed.tier)
    if tier is None:
        known = ", ".join(policy.tiers)
        raise ConfigurationError([f"--tier: {parsed.tier!r} is no tier; known are {known}"])

    async def read() -> tuple[Reading, ...]:
        async with _store(settings) as store:
            return await read_usage(store, parsed.subject, policy=policy, tier=tier)

    readings = asyncio.run(read())
    if parsed.json:
        limits = [usage_as_json(reading) for reading in readings]
        print(
            json.dumps({"subject": parsed.subject, "tier": tier.name, "limits": limits}, indent=2)
        )
    elif not readings:
        print(f"tier {tier.name} has no limits")
    else:
        print("\n".join(_table(readings)))
    return DONE


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
    limits = _chosen(policy, parsed.limit)
    configure_logging(debug=settings.debug)

    async def forget() -> None:
        async with _store(settings) as store:
            await reset_usage(store, parsed.subject, limits, actor=actor())

    asyncio.run(forget())
    print(f"{parsed.subject} starts anew with {', '.join(names_of(limits))}")
    return DONE


def _chosen(policy: Policy, name: str | None) -> tuple[Limit, ...]:
    known = all_limits(policy)
    chosen = chosen_limits(known, name)
    if chosen:
        return chosen
    if name is None:
        raise ConfigurationError(["the policy has no limits"])
    names = ", ".join(names_of(known))
    raise ConfigurationError([f"--limit: {name!r} is no limit of the policy; known are {names}"])


def _configuration(subject: str) -> tuple[Settings, Policy]:
    settings = checked_settings(os.environ)
    problems = []
    if not subject.startswith(SUBJECT_PREFIXES):
        problems.append(f"SUBJECT: {subject!r} begins with none of {', '.join(SUBJECT_PREFIXES)}")
    if settings.counts_in_memory:
        problems.append("REDIS_URL: is required; counters in a worker's memory are its own")
    if problems:
        raise ConfigurationError(problems)
    return settings, required_policy(settings, os.environ)


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[CounterStore]:
    store = store_from_url(
        settings.store_url.get_secret_value(),
        clock=SystemClock(),
        random=lambda: 0.5,  # one connection, tried once: there is nothing to spread
        timeout_ms=STORE_TIMEOUT_MS,
    )
    try:
        yield store
    finally:
        await store.close()
