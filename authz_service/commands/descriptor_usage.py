"""`authz_service usage show-descriptors` and `reset-descriptors`: counters of descriptor files.

They are named as `ask-rate-limit` names them, and found by the rules as a worker finds them.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from authz_service.commands.command_line import Commands, actor, checked_settings
from authz_service.commands.counters import NOT_SHARED, counters
from authz_service.commands.descriptor_arguments import add_descriptors, in_words
from authz_service.commands.exit_codes import DONE
from authz_service.commands.words import aligned, limit_in_words, time_in_words
from authz_service.configuration import load_rules
from authz_service.core.descriptor_hits import hits_of
from authz_service.core.descriptors import Descriptor, RateLimitRequest
from authz_service.core.hits import Count, Hit
from authz_service.core.limit_headers import seconds
from authz_service.core.resolve import Unanswerable, resolve
from authz_service.errors import ConfigurationError
from authz_service.observe.logging import configure_logging
from authz_service.settings import Settings
from authz_service.usage import reset_usage

_EPILOG: Final = "Reads REDIS_URL, AUTHZ_RATELIMIT_DIR and its like as the service does."

Found = Sequence[tuple[Descriptor, Hit | None]]
"""Each descriptor, and the counter that it has, looked at and left alone."""


def add(verbs: Commands) -> None:
    """Put both into the menu of `usage`."""
    show = verbs.add_parser(
        "show-descriptors", help="what is left for descriptors, by their files", epilog=_EPILOG
    )
    add_descriptors(show)
    show.add_argument("--json", action="store_true", help="print the result as JSON")
    show.set_defaults(run=_show)
    reset = verbs.add_parser(
        "reset-descriptors", help="forget what was counted for descriptors", epilog=_EPILOG
    )
    add_descriptors(reset)
    reset.set_defaults(run=_reset)


def _show(parsed: argparse.Namespace) -> int:
    settings, found = _found(parsed)
    hits = tuple(hit for _, hit in found if hit)

    async def look() -> tuple[Count | None, ...]:
        async with counters(settings) as store:
            return (await store.hit(hits)).counts

    read = iter(asyncio.run(look()) if hits else ())
    shown = [(descriptor, hit, next(read) if hit else None) for descriptor, hit in found]
    if parsed.json:
        told = [_as_json(*it) for it in shown]
        print(json.dumps({"domain": parsed.domain, "descriptors": told}, indent=2))
    else:
        print("\n".join(aligned([_row(*it) for it in shown])))
    return DONE


def _row(descriptor: Descriptor, hit: Hit | None, count: Count | None) -> tuple[str, ...]:
    if hit is None or count is None:
        return in_words(descriptor), "no counter", "", ""
    reset = f"reset in {time_in_words(seconds(count.reset_ms))}" if count.reset_ms else ""
    return in_words(descriptor), limit_in_words(hit.limit), f"{count.remaining} left", reset


def _as_json(descriptor: Descriptor, hit: Hit | None, count: Count | None) -> dict[str, object]:
    told: dict[str, object] = {"descriptor": in_words(descriptor)}
    if hit is None or count is None:
        return told
    return told | {
        "subject": hit.subject,
        "algorithm": "fixed" if hit.is_fixed else "exact",
        "window_seconds": hit.limit.window_ms // 1000,
        "limit": hit.limit.limit,
        "remaining": count.remaining,
        "reset_seconds": seconds(count.reset_ms),
    }


def _reset(parsed: argparse.Namespace) -> int:
    settings, found = _found(parsed)
    hits = dict.fromkeys(hit for _, hit in found if hit)
    if not hits:
        raise ConfigurationError(["--descriptor: none of them has a counter"])
    configure_logging(debug=settings.debug)

    async def forget() -> None:
        async with counters(settings) as store:
            for hit in hits:
                await reset_usage(store, hit.subject, (hit.limit,), actor=actor())

    asyncio.run(forget())
    for descriptor, hit in found:
        print(f"{in_words(descriptor)} {'starts anew' if hit else 'has no counter'}")
    return DONE


def _found(parsed: argparse.Namespace) -> tuple[Settings, Found]:
    settings = checked_settings(os.environ)
    problems = [] if settings.ratelimit_dir else ["AUTHZ_RATELIMIT_DIR: is required"]
    problems += [NOT_SHARED] if settings.counts_in_memory else []
    if problems:
        raise ConfigurationError(problems)
    asked = tuple(replace(descriptor, hits_addend=0) for descriptor in parsed.descriptor)
    request = RateLimitRequest(domain=parsed.domain, descriptors=asked)
    rules = load_rules(settings)
    resolution = resolve(rules, request)
    if isinstance(resolution, Unanswerable):
        raise ConfigurationError([resolution.value])
    if rules is not None and not resolution.is_domain_known:
        known = ", ".join(sorted(rules.domains)) or "none"
        raise ConfigurationError([f"--domain: {parsed.domain!r} is in no file; known are {known}"])
    hits = hits_of(parsed.domain, resolution.resolved, all_quota=False)
    return settings, tuple(zip(asked, hits, strict=True))
