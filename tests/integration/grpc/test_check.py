"""Checks over a real socket, through the real servers, read by independent code."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.core.rules import Policy
from authz_service.engine import Engine
from authz_service.observe.metrics import Metrics
from authz_service.settings import GrpcServer
from authz_service.storage.bad_credentials import BadCredentials
from authz_service.storage.failover import FailoverStore
from authz_service.storage.memory import MemoryStore
from authz_service.storage.stand_in import StandIn
from authz_service.testing.builders import PlantedSecrets
from authz_service.testing.clock import ManualClock
from authz_service.testing.credentials import FixedCredentials
from authz_service.testing.server import serving
from authz_service.testing.stores import Fault

Foreign: TypeAlias = Any  # messages read by code that others generated


@pytest.fixture
def key(planted_secrets: PlantedSecrets) -> tuple[str, bytes]:
    """The header of a good key."""
    return "x-api-key", planted_secrets.api_key.encode()


def headers(options: list[Foreign]) -> dict[str, str]:
    """Header options as a mapping."""
    return {option.header.key: option.header.value for option in options}


def metadata(answer: Foreign) -> dict[str, str]:
    """Dynamic metadata as a mapping."""
    return {name: value.string_value for name, value in answer.dynamic_metadata.fields.items()}


@dataclass(frozen=True, slots=True)
class Denial:
    """The parts of a denial that tests look at."""

    status: int
    headers: dict[str, str]
    error: dict[str, Any]
    reason: str


def denial(answer: Foreign) -> Denial:
    """A denial, after making sure that it can be nothing else."""
    assert answer.status.code != 0
    assert answer.ok_response is None
    denied = answer.denied_response
    error = json.loads(denied.body)["error"]
    return Denial(
        int(denied.status.code), headers(denied.headers), error, metadata(answer)["reason"]
    )


def passed(answer: Foreign) -> Foreign:
    """The OK response, after making sure that it is one."""
    assert answer.status.code == 0
    assert answer.denied_response is None
    return answer.ok_response


async def test_a_good_key_passes(stack: Foreign, key: tuple[str, bytes]) -> None:
    """The application learns the caller, the client its limits, Envoy the decision."""
    answer = await stack.ask("/v1/things?page=2", key, route="things")
    ok = passed(answer)
    assert headers(ok.headers) == {
        "x-authz-subject": "key:good",
        "x-authz-tier": "free",
        "x-authz-method": "api_key",
        "x-authz-key-id": "good",
        "x-authz-max-upload-bytes": "5242880",
    }
    assert ok.headers_to_remove == ["x-api-key", "authorization", "x-authz-limits"]
    told = headers(ok.response_headers_to_add)
    assert told["x-ratelimit-remaining"] == "1"
    assert told["ratelimit-policy"] == '"per-minute";q=2;w=60, "per-day";q=3;w=86400'
    assert metadata(answer) == {
        "reason": "ok",
        "decision_id": "decision-1",
        "route": "things",
        "subject": "key:good",
        "tier": "free",
        "method": "api_key",
        "key_id": "good",
    }


async def test_an_anonymous_caller_passes_where_allowed(stack: Foreign) -> None:
    """Without a credential the address is the caller, and its limits are forwarded."""
    sent = headers(passed(await stack.ask("/v1/limits")).headers)
    assert sent["x-authz-subject"] == "anon:203.0.113.7"
    assert sent["x-authz-limits"] == '"per-minute";q=1;r=0;w=60;t=60'


@pytest.mark.parametrize("path", ["/v1/free", "/open"])
async def test_a_route_without_limits_tells_of_none(
    stack: Foreign, key: tuple[str, bytes], path: str
) -> None:
    """What costs nothing is not counted, and no header pretends otherwise."""
    for _ in range(5):
        assert passed(await stack.ask(path, key)).response_headers_to_add == []
    assert stack.store.calls == 0


@pytest.mark.parametrize(
    ("path", "sent", "status", "reason"),
    [
        ("/v1/things", [], 401, "missing_credential"),
        ("/v1/things", [("x-api-key", b"sk-unknown")], 401, "unknown_key"),
        ("/v1/things", [("x-api-key", b"sk-disabled")], 401, "disabled_key"),
        ("/v1/things", [("x-api-key", b"sk-expired")], 401, "expired_key"),
        ("/v1/limits", [("x-api-key", b"sk-expired")], 401, "expired_key"),
        ("/v1/things", [("x-api-key", b"sk-other-tier")], 401, "unknown_tier"),
        ("/v1/things", [("x-api-key", b"sk-\xff\xfe-bytes")], 401, "malformed_credential"),
        ("/v1/things", [("x-api-key", b"sk-one-key")] * 2, 401, "ambiguous_credential"),
        ("/v1/things", [("authorization", b"Basic eDp5")], 401, "unsupported_scheme"),
        ("/v1/things", [("authorization", b"Bearer a.b.c")], 401, "malformed_token"),
        ("/v1/limits?api%5Fkey=x", [], 401, "credential_in_query"),
        ("/v1/nowhere", [("x-api-key", b"sk-unknown")], 403, "no_route"),
        ("/v1/limits", [("x-envoy-external-address", b"")], 403, "no_client_address"),
    ],
)
async def test_a_denial_has_its_status_and_reason(
    stack: Foreign, path: str, sent: list[tuple[str, bytes]], status: int, reason: str
) -> None:
    """Who may not pass gets 401 or 403, as JSON, and costs no look-up in the store."""
    answer = denial(await stack.ask(path, ("x-request-id", b"request-1"), *sent))
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["content-type"] == "application/json"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert answer.error["request_id"] == "request-1"
    assert stack.store.calls == 0


async def test_over_the_rate_a_caller_waits_and_passes_again(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """The third request of a minute is refused; after exactly Retry-After it passes."""
    for _ in range(2):
        passed(await stack.ask("/v1/things", key))
    stack.clock.advance(1)
    answer = denial(await stack.ask("/v1/things", key))
    assert (answer.status, answer.reason) == (429, "rate_limited")
    assert answer.error["code"] == "RATE_LIMIT_EXCEEDED"
    assert answer.error["details"] == {"limit": "per-minute", "retry_after": 60}
    assert answer.headers["retry-after"] == "60"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    stack.clock.advance(int(answer.headers["retry-after"]) * 1_000)
    passed(await stack.ask("/v1/things", key))


async def test_over_the_quota_the_answer_speaks_of_the_quota(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """The fourth request of a day is over the quota, whatever the minute says."""
    for _ in range(3):
        passed(await stack.ask("/v1/things", key))
        stack.clock.advance(60_000)
    answer = denial(await stack.ask("/v1/things", key))
    assert (answer.status, answer.reason) == (429, "quota_exceeded")
    assert answer.error["details"]["limit"] == "per-day"


async def test_concurrent_checks_never_exceed_a_limit(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """Of many checks at once exactly as many pass as the limit admits."""
    answers = await asyncio.gather(*(stack.ask("/v1/things", key) for _ in range(20)))
    assert [answer.status.code for answer in answers].count(0) == 2


async def test_a_failing_store_denies_where_told_to(stack: Foreign, key: tuple[str, bytes]) -> None:
    """`on_store_failure: deny` answers 503 to be tried again, and counts nothing."""
    stack.store.fault = Fault.FAILING
    answer = denial(await stack.ask("/v1/denying", key))
    assert (answer.status, answer.reason) == (503, "store_unavailable")
    assert answer.error["code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["retry-after"] == "1"
    assert not [name for name in answer.headers if "ratelimit" in name]


async def test_a_failing_store_lets_pass_where_told_to(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """`on_store_failure: allow` passes any number of requests and claims no limits."""
    stack.store.fault = Fault.FAILING
    for _ in range(5):
        ok = passed(await stack.ask("/v1/allowing", key))
        assert ok.response_headers_to_add == []


async def test_a_failing_store_is_counted_around_locally(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """`on_store_failure: local` enforces the same limits in this process, and says so."""
    stack.store.fault = Fault.FAILING
    for _ in range(2):
        ok = passed(await stack.ask("/v1/things", key))
        assert headers(ok.response_headers_to_add)["x-ratelimit-scope"] == "local"
    answer = denial(await stack.ask("/v1/things", key))
    assert answer.status == 429
    assert answer.headers["x-ratelimit-scope"] == "local"


async def test_an_empty_request_is_denied(stack: Foreign) -> None:
    """A check without attributes is no request we know: 403."""
    answer = denial(stack.read(await stack.worker.check(b"")))
    assert (answer.status, answer.reason) == (403, "no_route")


@pytest.mark.parametrize("junk", [b"\xff", b"\n\xff\xff\xff\xff\x0f", b"\x0a\x05junk"])
async def test_bytes_that_are_no_message_are_an_error_of_the_call(
    stack: Foreign, key: tuple[str, bytes], junk: bytes
) -> None:
    """Junk ends its own call with an error, which Envoy never reads as an allow."""
    with pytest.raises(grpc.aio.AioRpcError):
        await stack.worker.check(junk)
    passed(await stack.ask("/v1/things", key))


async def test_a_bug_is_answered_with_503(  # noqa: PLR0917 - fixtures are passed by name
    kind: GrpcServer,
    clock: ManualClock,
    policy: Policy,
    stack: Foreign,
    planted_secrets: PlantedSecrets,
    tmp_path: Path,
) -> None:
    """Whatever goes wrong while deciding is logged and answered on purpose, never an allow."""

    class Broken(FixedCredentials):
        def find_key(self, key: bytes) -> NoReturn:  # noqa: ARG002
            raise RuntimeError("a bug")

    counter = FailoverStore(
        MemoryStore(clock), stand_in=StandIn(clock), clock=clock, metrics=Metrics()
    )
    engine = Engine(
        policy=policy,
        credentials=Broken(),
        counter=counter,
        guesses=BadCredentials(clock),
        clock=clock,
        new_id=lambda: "d",
    )
    request = stack.auth.CheckRequest(
        attributes=stack.auth.AttributeContext(
            request=stack.auth.AttributeContextRequest(
                http=stack.auth.AttributeContextHttpRequest(
                    method="GET", path="/v1/things", headers={"x-api-key": planted_secrets.api_key}
                )
            )
        )
    )
    with capture_logs() as logs:
        async with serving(engine, kind=kind, address=f"unix:{tmp_path / 'b.sock'}") as worker:
            answer = denial(stack.read(await worker.check(bytes(request))))
    assert (answer.status, answer.reason) == (503, "internal_error")
    assert [line["event"] for line in logs] == ["check failed"]
    assert planted_secrets.found_in(f"{logs} {answer}") == []


async def test_no_answer_gives_a_credential_away(
    stack: Foreign, planted_secrets: PlantedSecrets
) -> None:
    """Whatever secrets a request carries, no answer and no log line repeats one."""
    secrets = [planted_secrets.api_key, planted_secrets.token, planted_secrets.password]
    with capture_logs() as logs:
        answers = [
            await stack.ask(path, (header, value))
            for secret in secrets
            for path in ("/v1/things", f"/v1/things?api_key={secret}", f"/{secret}")
            for header in ("x-api-key", "authorization")
            for value in (secret.encode(), f"Bearer {secret}".encode())
        ]
    assert planted_secrets.found_in(f"{answers} {logs}") == []


async def test_a_check_in_flight_finishes_in_a_drain(
    stack: Foreign, key: tuple[str, bytes]
) -> None:
    """A check that began before the drain is answered in it; stopping then takes no time."""
    stack.store.fault = Fault.SLOW
    check = asyncio.create_task(stack.ask("/v1/things", key))
    async with asyncio.timeout(5):
        while not stack.store.calls:  # noqa: ASYNC110 - a store has no event to wait for
            await asyncio.sleep(0.001)
    stack.worker.health.drain()
    stack.store.fault = None
    passed(await check)
    async with asyncio.timeout(2):
        await stack.worker.server.stop(5.0)
