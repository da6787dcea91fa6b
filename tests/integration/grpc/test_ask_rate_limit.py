"""`authz_service ask-rate-limit` against a worker: what it prints, and its exit codes."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from authz_service.core.descriptors import (
    UNLIMITED_REMAINING,
    Descriptor,
    DescriptorLimit,
    Entry,
    RateLimitRequest,
    RateLimitResponse,
    Status,
    Unit,
)
from authz_service.errors import UnanswerableError
from authz_service.settings import GrpcServer
from authz_service.testing.server import serving

Stack: TypeAlias = Any  # defined beside these tests, in a conftest

NAMED = DescriptorLimit(requests_per_unit=5, unit=Unit.MINUTE, name="per-minute")
NAMELESS = DescriptorLimit(requests_per_unit=9, unit=Unit.WEEK)
ANSWERS = {
    "passing": RateLimitResponse(
        over=False,
        statuses=(
            Status(limit=NAMED, remaining=4, reset_ms=59_001),
            Status(limit=DescriptorLimit(unit=None), remaining=UNLIMITED_REMAINING),
            Status(),
        ),
        headers=(("RateLimit-Limit", "5"),),
    ),
    "over": RateLimitResponse(
        over=True,
        statuses=(Status(over=True, limit=NAMELESS, reset_ms=400_000_000),),
        retry_after_ms=1_500,
    ),
    "terse": RateLimitResponse(over=False, statuses=()),
}


class ByDomain:
    """Answers by the name of the domain alone."""

    def __init__(self) -> None:
        self.asked: list[RateLimitRequest] = []

    async def should_rate_limit(
        self, request: RateLimitRequest, *, request_id: str, once: str | None
    ) -> RateLimitResponse:
        """What is planned for the domain."""
        assert (request_id, once) == ("", None)
        self.asked.append(request)
        if request.domain not in ANSWERS:
            raise UnanswerableError("no rate limit configuration loaded")
        return ANSWERS[request.domain]


@pytest.fixture
def limiter() -> ByDomain:
    """What answers."""
    return ByDomain()


@pytest.fixture
async def address(
    stack: Stack, kind: GrpcServer, limiter: ByDomain, tmp_path: Path
) -> AsyncIterator[str]:
    """Where it answers."""
    where = f"unix:{tmp_path / 'limits.sock'}"
    async with serving(stack.engine, kind=kind, address=where, limiter=limiter):
        yield where


async def command(address: str, domain: str, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of the program."""
    given = [address, "--domain", domain, "--descriptor", "user=ann,path=/a=b", *arguments]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "authz_service", "ask-rate-limit", *given),
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_below_the_limit_it_is_0(address: str, limiter: ByDomain) -> None:
    """Each descriptor goes out as it was written, and comes back with its limit."""
    more = ("--descriptor", "b=", "--descriptor", "c=1", "--hits", "3")
    code, out, err = await command(address, "passing", *more)
    assert out.splitlines() == [
        "below the limit",
        "  user=ann,path=/a=b  ok  per-minute 5/minute  4 left  resets in 60 s",
        "  b=                  ok  unlimited",
        "  c=1                 ok  no limit",
        "  RateLimit-Limit: 5",
    ]
    assert (code, err) == (0, "")
    assert limiter.asked == [
        RateLimitRequest(
            domain="passing",
            descriptors=(
                Descriptor(entries=(Entry("user", "ann"), Entry("path", "/a=b"))),
                Descriptor(entries=(Entry("b", ""),)),
                Descriptor(entries=(Entry("c", "1"),)),
            ),
            hits_addend=3,
        )
    ]


async def test_over_the_limit_it_is_3(address: str, limiter: ByDomain) -> None:
    """As `explain` says of a request that would be refused; one hit, where none is named."""
    code, out, err = await command(address, "over")
    assert out.splitlines() == [
        "over the limit",
        "  user=ann,path=/a=b  over  9/week  0 left  resets in 5 d",
        "  retry-after: 2",
    ]
    assert (code, err) == (3, "")
    assert limiter.asked[0].hits_addend == 1


async def test_as_json_it_is_the_answer_itself(address: str) -> None:
    """The exit code is the same, and the form the protocol's own."""
    code, out, _ = await command(address, "over", "--json")
    told = json.loads(out)
    assert (code, told["overallCode"]) == (3, "OVER_LIMIT")
    assert told["statuses"][0]["currentLimit"] == {"requestsPerUnit": 9, "unit": "WEEK"}


async def test_a_service_may_tell_less_than_was_asked(address: str) -> None:
    """A descriptor without a status has no limit that anybody knows of."""
    code, out, _ = await command(address, "terse")
    assert (code, out) == (0, "below the limit\n  user=ann,path=/a=b  ok  no limit\n")


async def test_without_an_answer_it_is_1(address: str, tmp_path: Path) -> None:
    """Standard error has the address, the status, and the words of the service."""
    nobody = f"unix:{tmp_path}/nobody.sock"
    refused, absent = await asyncio.gather(command(address, "other"), command(nobody, "other"))
    assert refused == (1, "", f"error: {address}: UNKNOWN: no rate limit configuration loaded\n")
    assert absent[:2] == (1, "")
    assert re.match(f"error: {nobody}: UNAVAILABLE: ", absent[2])
