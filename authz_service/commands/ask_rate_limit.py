"""`authz_service ask-rate-limit`: put one question to a rate limit service, and count it."""

import argparse
import asyncio
from itertools import zip_longest
from typing import Final

from authz_service.commands.command_line import Commands, place
from authz_service.commands.descriptor_arguments import add_descriptors, in_words
from authz_service.commands.exit_codes import DONE, REFUSED
from authz_service.commands.words import aligned, time_in_words
from authz_service.core.descriptors import (
    Descriptor,
    DescriptorLimit,
    RateLimitRequest,
    RateLimitResponse,
    Status,
)
from authz_service.core.limit_headers import seconds
from authz_service.transports.rate_limit_client import ask
from authz_service.wire.ratelimit_request import encode_rate_limit_request
from authz_service.wire.ratelimit_response import (
    decode_rate_limit_response,
    rate_limit_response_as_json,
)

_MAX_HITS: Final = 4_294_967_295
_EPILOG: Final = (
    "The question is counted like any other."
    " Exit codes: 0 below the limit; 3 over it; 2 the call is wrong; 1 there was no answer."
)


def add(commands: Commands) -> None:
    """Put `ask-rate-limit` into the menu."""
    command = commands.add_parser(
        "ask-rate-limit",
        help="ask a rate limit service about descriptors",
        description="Ask ShouldRateLimit of a service, this one or another, and print its answer.",
        epilog=_EPILOG,
    )
    command.add_argument("address", type=place, help="unix:PATH or HOST:PORT")
    add_descriptors(command)
    command.add_argument(
        "--hits", type=_hits, default=1, metavar="N", help="how much the question counts (1)"
    )
    command.add_argument(
        "--json", action="store_true", help="print the answer in protobuf's JSON form"
    )
    command.set_defaults(run=_run)


def _hits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_HITS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MAX_HITS}")
    return int(text)


def _run(parsed: argparse.Namespace) -> int:
    request = RateLimitRequest(
        domain=parsed.domain, descriptors=tuple(parsed.descriptor), hits_addend=parsed.hits
    )
    message = asyncio.run(ask(parsed.address, encode_rate_limit_request(request)))
    response = decode_rate_limit_response(message)
    if parsed.json:
        print(rate_limit_response_as_json(message))
    else:
        print("\n".join(_lines(request, response)))
    return REFUSED if response.over else DONE


def _lines(request: RateLimitRequest, response: RateLimitResponse) -> list[str]:
    # Another service may tell less than was asked.
    pairs = zip_longest(request.descriptors, response.statuses[: len(request.descriptors)])
    rows = [_row(descriptor, status or Status()) for descriptor, status in pairs]
    return [
        "over the limit" if response.over else "below the limit",
        *(f"  {line}" for line in aligned(rows)),
        *(f"  {name}: {value}" for name, value in response.headers),
    ]


def _row(descriptor: Descriptor, status: Status) -> tuple[str, ...]:
    asked = in_words(descriptor)
    if status.limit is None:
        return asked, "over" if status.over else "ok", "no limit", "", ""
    reset = "" if status.reset_ms is None else f"resets in {_time(status.reset_ms)}"
    left = "" if status.limit.unit is None else f"{status.remaining} left"
    return asked, "over" if status.over else "ok", _limit(status.limit), left, reset


def _time(milliseconds: int) -> str:
    return time_in_words(seconds(milliseconds))


def _limit(limit: DescriptorLimit) -> str:
    if limit.unit is None:
        return "unlimited"
    return f"{limit.name} {limit.requests_per_unit}/{limit.unit.name.lower()}".lstrip()
