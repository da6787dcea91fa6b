"""ShouldRateLimit over a real socket, through the real servers, asked and read by other code."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.core.descriptors import (
    DescriptorLimit,
    Entry,
    RateLimitRequest,
    RateLimitResponse,
    Status,
    Unit,
)
from authz_service.errors import StoreError, UnanswerableError
from authz_service.settings import GrpcServer
from authz_service.testing.server import Worker, serving

Foreign: TypeAlias = Any  # messages of code that others generated

LIMIT = DescriptorLimit(requests_per_unit=5, unit=Unit.MINUTE, name="per-minute")
PASSED = RateLimitResponse(
    over=False, statuses=(Status(limit=LIMIT, remaining=4, reset_ms=60_000),)
)
OVER = RateLimitResponse(
    over=True, statuses=(Status(over=True, limit=LIMIT, reset_ms=9_000),), retry_after_ms=9_000
)
RATELIMIT = b"\n\x09ratelimit"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


@dataclass
class StubLimiter:
    """Answers what it is told to, or raises it, and remembers what it was asked."""

    answer: RateLimitResponse | Exception = PASSED
    asked: list[tuple[RateLimitRequest, str, str | None]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def should_rate_limit(
        self, request: RateLimitRequest, *, request_id: str, once: str | None
    ) -> RateLimitResponse:
        """Answer when it may."""
        self.asked.append((request, request_id, once))
        self.arrived.set()
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass(frozen=True, slots=True)
class Bench:
    """A worker with a stub behind it, and a client that is not ours."""

    worker: Worker
    limiter: StubLimiter
    ratelimit: ModuleType
    common: ModuleType

    def question(self, **fields: Foreign) -> bytes:
        """A question about one descriptor, unless told otherwise."""
        entry = self.common.RateLimitDescriptorEntry(key="user", value="ann")
        descriptors = [self.common.RateLimitDescriptor(entries=[entry])]
        asked = {"domain": "shop", "descriptors": descriptors, **fields}
        return bytes(self.ratelimit.RateLimitRequest(**asked))

    async def ask(self, *metadata: tuple[str, str], **fields: Foreign) -> Foreign:
        """The answer as an independent implementation reads it."""
        answer = await self.worker.should_rate_limit(self.question(**fields), *metadata)
        return self.ratelimit.RateLimitResponse.parse(answer)

    async def refused(self, **fields: Foreign) -> tuple[grpc.StatusCode, str | None]:
        """Status and text of a question that gets no answer."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(**fields)
        return caught.value.code(), caught.value.details()


@pytest.fixture
async def bench(
    stack: Foreign,
    kind: GrpcServer,
    ratelimit: ModuleType,
    ratelimit_common: ModuleType,
    tmp_path: Path,
) -> AsyncIterator[Bench]:
    """A worker that answers both services."""
    limiter = StubLimiter()
    limiter.go_on.set()
    address = f"unix:{tmp_path / 'both.sock'}"
    async with serving(stack.engine, kind=kind, address=address, limiter=limiter) as worker:
        yield Bench(worker, limiter, ratelimit, ratelimit_common)


async def test_a_question_is_asked_and_answered(bench: Bench) -> None:
    """The limiter gets what was asked, the client what it answered."""
    answer = await bench.ask(hits_addend=2)
    assert answer.overall_code.name == "OK"
    assert answer.statuses[0].current_limit.name == "per-minute"
    ((asked, request_id, once),) = bench.limiter.asked
    assert (asked.domain, asked.hits_addend, request_id, once) == ("shop", 2, "", None)
    assert asked.descriptors[0].entries == (Entry("user", "ann"),)


async def test_a_question_that_is_sent_again_is_known(bench: Bench) -> None:
    """Envoy's mark of a question goes to the limiter, which counts it once."""
    await bench.ask(("x-authz-once", "mark-1"))
    assert bench.limiter.asked[0][1:] == ("", "mark-1")


async def test_our_envoys_refusal_has_a_body(bench: Bench) -> None:
    """The id of the request comes as metadata of the call, and goes to the limiter and the body."""
    bench.limiter.answer = OVER
    answer = await bench.ask(("x-request-id", "request-1"))
    error = json.loads(answer.raw_body)["error"]
    assert (error["request_id"], error["details"]["retry_after"]) == ("request-1", 9)
    assert {it.key for it in answer.response_headers_to_add} == {"content-type", "retry-after"}
    assert bench.limiter.asked[0][1] == "request-1"


async def test_another_clients_refusal_has_none(bench: Bench) -> None:
    """Nobody who tells no request id is answered in our words."""
    bench.limiter.answer = OVER
    answer = await bench.ask()
    assert (answer.overall_code.name, answer.raw_body) == ("OVER_LIMIT", b"")
    assert [it.key for it in answer.response_headers_to_add] == ["retry-after"]


async def test_a_question_about_nothing_is_unknown(bench: Bench) -> None:
    """In the words of envoyproxy/ratelimit, and the limiter is not asked."""
    unknown = grpc.StatusCode.UNKNOWN
    assert await bench.refused(domain="") == (unknown, "rate limit domain must not be empty")
    assert await bench.refused(descriptors=[]) == (
        unknown,
        "rate limit descriptor list must not be empty",
    )
    assert bench.limiter.asked == []


async def test_a_limit_without_a_unit_is_an_invalid_argument(bench: Bench) -> None:
    """The text says where; the limiter is not asked, and the server serves on."""
    override = bench.common.RateLimitDescriptorRateLimitOverride(requests_per_unit=1)
    descriptor = bench.common.RateLimitDescriptor(limit=override)
    assert await bench.refused(descriptors=[descriptor]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "descriptors[0].limit.unit: 0 is no unit of time",
    )
    assert bench.limiter.asked == []
    assert await bench.ask()


@pytest.mark.parametrize(
    ("error", "told", "logged"),
    [
        (
            UnanswerableError("no rate limit configuration loaded"),
            (grpc.StatusCode.UNKNOWN, "no rate limit configuration loaded"),
            [],
        ),
        (
            StoreError("10.0.0.7:6379 said secret"),
            (grpc.StatusCode.UNKNOWN, "the counter store does not answer"),
            [],
        ),
        (
            RuntimeError("secret"),
            (grpc.StatusCode.INTERNAL, "the question could not be answered"),
            ["rate limit failed"],
        ),
    ],
)
async def test_no_failure_is_told_in_its_own_words(
    bench: Bench, error: Exception, told: tuple[grpc.StatusCode, str], logged: list[str]
) -> None:
    """Only what was meant for the client reaches it; what nobody expected is logged."""
    bench.limiter.answer = error
    with capture_logs() as logs:
        assert await bench.refused() == told
    assert [line["event"] for line in logs] == logged


async def test_an_answer_that_cannot_be_told_is_a_failure_too(bench: Bench) -> None:
    """Whatever the limiter makes up, the client sees a status and no traceback."""
    bench.limiter.answer = RateLimitResponse(over=False, statuses=(Status(remaining=-1),))
    with capture_logs() as logs:
        status, text = await bench.refused()
    assert (status, text) == (grpc.StatusCode.INTERNAL, "the question could not be answered")
    assert logs[0]["exc_info"]


async def test_bytes_that_are_no_message_are_refused(bench: Bench) -> None:
    """Each server refuses them by itself, in a status of its own, and serves on."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.worker.should_rate_limit(b"\xff\xff")
    assert caught.value.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
    assert await bench.ask()


async def test_a_drain_waits_for_questions(bench: Bench) -> None:
    """A question that is being answered counts as in flight, until it is answered."""
    bench.limiter.go_on.clear()
    asked = asyncio.create_task(bench.ask())
    async with asyncio.timeout(5):
        await bench.limiter.arrived.wait()
    idle = asyncio.create_task(bench.worker.in_flight.until_idle(5))
    done, _ = await asyncio.wait({idle}, timeout=0.2)
    assert not done
    bench.limiter.go_on.set()
    async with asyncio.timeout(5):
        await idle
    assert (await asked).overall_code.name == "OK"


async def test_a_failed_question_is_over(bench: Bench) -> None:
    """What got a status in place of an answer keeps no drain waiting."""
    bench.limiter.answer = StoreError("away")
    await bench.refused()
    await bench.refused(domain="")
    async with asyncio.timeout(1):
        await bench.worker.in_flight.until_idle(5)


async def test_its_health_has_a_name(bench: Bench) -> None:
    """`ratelimit` serves like the rest, and ends with the drain."""
    assert await bench.worker.health_check(RATELIMIT) == SERVING
    bench.worker.health.drain()
    assert await bench.worker.health_check(RATELIMIT) == NOT_SERVING


async def test_without_it_there_is_neither_service_nor_health(stack: Foreign) -> None:
    """A worker that limits nothing by descriptors does not claim to."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.worker.should_rate_limit(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.worker.health_check(RATELIMIT)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
