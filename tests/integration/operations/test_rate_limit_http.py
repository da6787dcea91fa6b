"""`POST /json` and `GET /healthcheck` over a real socket, with a worker that is made up."""

import asyncio
import gzip
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from authz_service.errors import UnanswerableError
from authz_service.observe.rate_limit_series import JsonRefusal
from authz_service.transports import rate_limit_http
from authz_service.transports.operations import Endpoints, Operations, Phase, Status
from authz_service.transports.rate_limit_http import (
    MAX_BODY_BYTES,
    healthcheck_endpoint,
    json_endpoint,
)
from authz_service.wire.services import RateLimitRequest, RateLimitResponse

QUESTION: Final = {
    "domain": "shop",
    "descriptors": [{"entries": [{"key": "user", "value": "ann"}], "hitsAddend": "2"}],
    "hits_addend": 3,
}
BAD_REQUEST: Final = (400, "text/plain; charset=utf-8", b"Bad Request\n")


@dataclass
class Made:
    """A worker that answers what it is told to, and remembers what it was asked.

    `refused` are the reasons of the questions that got a 400.
    """

    answer: RateLimitResponse | Exception = field(
        default_factory=lambda: RateLimitResponse(overall_code=RateLimitResponse.OK)
    )
    is_ready: bool = True
    asked: list[RateLimitRequest] = field(default_factory=list)
    refused: list[JsonRefusal] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, question: RateLimitRequest) -> RateLimitResponse:
        """The answer, as soon as it may be given."""
        self.asked.append(question)
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def made() -> Made:
    """A worker that answers at once."""
    made = Made()
    made.go_on.set()
    return made


@pytest.fixture
async def port(made: Made) -> AsyncIterator[int]:
    """Where it is asked."""
    more = {
        ("POST", "/json"): json_endpoint(made.ask, refused=made.refused.append),
        ("GET", "/healthcheck"): healthcheck_endpoint(lambda: made.is_ready),
    }
    async with listening(more) as port:
        yield port


@asynccontextmanager
async def listening(more: Endpoints) -> AsyncIterator[int]:
    """The operations port, with these endpoints."""

    async def nothing(_accept: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    listener = Operations(
        "127.0.0.1", port=0, metrics=nothing, status=lambda: Status(Phase.READY), more=more
    )
    await listener.start()
    try:
        yield listener.port
    finally:
        await listener.stop()


async def send(port: int, body: bytes | object, **headers: str) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to a question."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        ClientSession(f"http://127.0.0.1:{port}") as client,
        client.post("/json", data=data, headers=headers) as answer,
    ):
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_a_question_in_json_reaches_a_worker(port: int, made: Made) -> None:
    """Whole, under the protocol's names or JSON's, whatever its content type."""
    status, content_type, body = await send(port, QUESTION)
    assert (status, content_type) == (200, "application/json; charset=utf-8")
    assert json.loads(body) == {"overallCode": "OK"}
    expected = RateLimitRequest(domain="shop", hits_addend=3)
    descriptor = expected.descriptors.add()
    descriptor.entries.add(key="user", value="ann")
    descriptor.hits_addend.value = 2
    assert made.asked == [expected]


async def test_over_the_limit_it_is_429_with_the_whole_answer(port: int, made: Made) -> None:
    """In protobuf's JSON form."""
    made.answer = RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT)
    status = made.answer.statuses.add(code=RateLimitResponse.OVER_LIMIT)
    status.current_limit.requests_per_unit = 5
    status.duration_until_reset.seconds = 13
    made.answer.response_headers_to_add.add(key="retry-after", value="13")
    code, _, body = await send(port, QUESTION)
    assert code == 429
    assert json.loads(body) == {
        "overallCode": "OVER_LIMIT",
        "statuses": [
            {
                "code": "OVER_LIMIT",
                "currentLimit": {"requestsPerUnit": 5},
                "durationUntilReset": "13s",
            }
        ],
        "responseHeadersToAdd": [{"key": "retry-after", "value": "13"}],
    }


async def test_an_answer_that_decides_nothing_is_500(port: int, made: Made) -> None:
    """The client must not take it for a yes."""
    made.answer = RateLimitResponse()
    code, _, body = await send(port, QUESTION)
    assert (code, json.loads(body)) == (500, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'["domain"]',
        b"1",
        b"\xff",
        b"[" * MAX_BODY_BYTES,
        b'{"a":' * 10_000,
        b'{"unknown": 1}',
        b'{"domain": 1}',
        b'{"domain": "a", "domain": "b"}',
        b'{"domain": "\\ud800"}',
        b'{"hitsAddend": -1}',
        b'{"hitsAddend": NaN}',
        b'{"hitsAddend": ' + b"9" * 5_000 + b"}",
        gzip.compress(json.dumps(QUESTION).encode()),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_question_is_bad(port: int, made: Made, body: bytes) -> None:
    """400 in the words of the other service, and counted as such; no worker hears of it."""
    assert await send(port, body) == BAD_REQUEST
    assert made.asked == []
    assert made.refused == [JsonRefusal.MALFORMED]


async def test_a_compressed_question_is_bad(port: int, made: Made) -> None:
    """A few bytes could be a large body: nothing is unpacked, whatever its header says."""
    packed = gzip.compress(json.dumps(QUESTION).encode())
    async with ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as client:
        headers = {"Content-Encoding": "gzip"}
        async with client.post("/json", data=packed, headers=headers) as answer:
            assert answer.status == 400
    assert made.asked == []


async def test_a_question_has_a_largest_size(port: int, made: Made) -> None:
    """A byte more is refused, however good it is."""
    text = json.dumps(QUESTION).encode()
    assert (await send(port, text.ljust(MAX_BODY_BYTES)))[0] == 200
    assert await send(port, text.ljust(MAX_BODY_BYTES + 1)) == BAD_REQUEST
    assert len(made.asked) == 1
    assert made.refused == [JsonRefusal.TOO_LARGE]


async def test_without_an_answer_the_question_was_bad(port: int, made: Made) -> None:
    """As clients of the other service know it; the log has the reason, and nothing of the body."""
    made.answer = UnanswerableError("unix:/x: UNKNOWN: no rate limit configuration loaded")
    with capture_logs() as logs:
        assert await send(port, QUESTION) == BAD_REQUEST
        assert await send(port, b'{"canary": 1}') == BAD_REQUEST
    assert [it["reason"] for it in logs] == [
        "unix:/x: UNKNOWN: no rate limit configuration loaded",
        "it is no RateLimitRequest in JSON",
    ]
    assert made.refused == [JsonRefusal.UNANSWERED, JsonRefusal.MALFORMED]


async def test_the_policys_own_limits_are_out_of_reach(port: int, made: Made) -> None:
    """Nobody can use them up from here."""
    assert await send(port, QUESTION | {"domain": "authz"}) == BAD_REQUEST
    assert made.asked == []
    assert made.refused == [JsonRefusal.POLICY_DOMAIN]


async def test_a_worker_that_hangs_ends_the_wait(
    port: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gets an answer, late."""
    monkeypatch.setattr(rate_limit_http, "_SECONDS", 0.1)
    made.go_on.clear()
    assert await send(port, QUESTION) == BAD_REQUEST
    assert made.refused == [JsonRefusal.TIMEOUT]


@asynccontextmanager
async def connected(port: int, head: bytes) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    """A connection on which the head of a question has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /json HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        async with asyncio.timeout(5):
            yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_leaves_has_asked_nothing(made: Made) -> None:
    """Its half of a body is no question, and no failure of the service either."""
    answers: asyncio.Queue[int | BaseException] = asyncio.Queue()
    is_asked = asyncio.Event()
    endpoint = json_endpoint(made.ask, refused=made.refused.append)

    async def recorded(request: web.BaseRequest) -> web.StreamResponse:
        is_asked.set()
        try:
            answer = await endpoint(request)
        except BaseException as error:
            answers.put_nowait(error)
            raise
        answers.put_nowait(answer.status)
        return answer

    async with listening({("POST", "/json"): recorded}) as port:
        async with connected(port, b"Content-Length: 9"):
            await is_asked.wait()
        assert await answers.get() == 400
    assert made.asked == []
    assert made.refused == [JsonRefusal.MALFORMED]


async def test_a_body_that_stops_half_way_ends_the_wait(
    port: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up, and no worker is asked."""
    monkeypatch.setattr(rate_limit_http, "_SECONDS", 0.1)
    async with connected(port, b"Content-Length: 9") as (reader, _):
        assert b" 400 " in await reader.readline()
    assert made.asked == []


@pytest.mark.parametrize(("is_ready", "expected"), [(True, (200, "OK")), (False, (500, ""))])
async def test_the_healthcheck_is_that_of_readiness(
    port: int, made: Made, *, is_ready: bool, expected: tuple[int, str]
) -> None:
    """In the words of the other service."""
    made.is_ready = is_ready
    async with (
        ClientSession(f"http://127.0.0.1:{port}") as client,
        client.get("/healthcheck") as answer,
    ):
        assert (answer.status, await answer.text()) == expected


async def test_other_methods_do_not_exist(port: int, made: Made) -> None:
    """Nothing counts by looking."""
    async with ClientSession(f"http://127.0.0.1:{port}") as client:
        for method, path in (("GET", "/json"), ("PUT", "/json"), ("POST", "/healthcheck")):
            async with client.request(method, path, json=QUESTION) as answer:
                assert answer.status == 404
    assert made.asked == []
