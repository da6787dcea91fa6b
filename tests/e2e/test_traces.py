"""One request is one trace, over every part of the real stack, and nothing secret is in it."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.client import Client
from tests.e2e.stack import Stack, running
from tests.servers.collector import Collector, Span, collecting

pytestmark = pytest.mark.slow

UPSCALE = "/api/v1/images/upscale"
LIMITS = "/api/v1/images/limits"
CANARY = "canary-5e1f0c7a"

CLIENT = ("client", "")
ENTRY = ("envoy", UPSCALE)
CHECK_CALL = ("envoy", "async envoy.service.auth.v3.Authorization.Check egress")
LIMIT_CALL = (
    "envoy",
    "async envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit egress",
)
CHECK = ("authz_service", "Check")
LIMIT = ("authz_service", "ShouldRateLimit")
API = ("image_service", UPSCALE)
JOB = ("image_worker", "job")
ATTEMPT = ("image_worker", "attempt")

# Each span, and the span that it is in.
UPLOAD = {
    (ENTRY, CLIENT),
    (CHECK_CALL, ENTRY),
    (CHECK, CHECK_CALL),
    (("authz_service", "store charge"), CHECK),
    (LIMIT_CALL, ENTRY),
    (LIMIT, LIMIT_CALL),
    (("authz_service", "store charge"), LIMIT),
    (API, ENTRY),
    (JOB, API),
    (ATTEMPT, JOB),
    (("image_worker", "fetch upload"), ATTEMPT),
    (("image_worker", "transform"), ATTEMPT),
    (("image_worker", "keep result"), ATTEMPT),
}


@dataclass(frozen=True)
class Traced:
    """A stack, and where its spans go."""

    stack: Stack
    collector: Collector

    @property
    def client(self) -> Client:
        """A client of the public port."""
        return self.stack.client

    def lines(self, trace_id: str) -> list[str]:
        """What the parts logged of a trace: their messages."""
        found = [json.loads(line) for line in self.stack.output if trace_id in line]
        return [str(it["message"]) for it in found if it.get("trace_id") == trace_id]


@pytest.fixture(scope="module", params=["native", "grpcio"])
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """A stack that is traced whole."""
    with (
        collecting() as collector,
        running(
            AUTHZ_GRPC_SERVER=request.param, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint
        ) as stack,
    ):
        yield Traced(stack, collector)


def tree(spans: Sequence[Span]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """Each span of one trace, and the one that it is in."""
    names = {it.span_id: (it.service, it.name) for it in spans}
    return {((it.service, it.name), names.get(it.parent_id, CLIENT)) for it in spans}


def upload(traced: Traced, photo: bytes, *headers: tuple[str, str]) -> None:
    """An upload whose result is waited for."""
    done = traced.client.upload(
        traced.stack.fresh_key(), photo, headers=[*headers, ("Prefer", "wait=15")], scale="2"
    )
    assert done.status == 200


def test_an_upload_is_one_trace(traced: Traced, photo: bytes) -> None:
    """From the client's span through Envoy, sidecar and store to the API, and on to the worker."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    upload(traced, photo, ("traceparent", f"00-{trace_id}-{span_id}-01"))
    traced.collector.wait_for(lambda _: tree(traced.collector.trace(trace_id)) == UPLOAD)
    spans = traced.collector.trace(trace_id)
    (entry,) = [it for it in spans if (it.service, it.name) == ENTRY]
    (check,) = [it for it in spans if (it.service, it.name) == CHECK]
    assert entry.parent_id == span_id
    told = dict(check.attributes)
    assert told.pop("authz.decision_id")
    assert told == {
        "authz.decision": "allow",
        "authz.reason": "ok",
        "authz.route": "upscale",
        "authz.tier": "pro",
    }
    assert {"Job created", "Job finished"} <= set(traced.lines(trace_id))


def test_googles_header_is_a_parent_too(traced: Traced, photo: bytes) -> None:
    """The trace of `X-Cloud-Trace-Context` is the one that all parts are in."""
    trace_id = secrets.token_hex(16)
    upload(traced, photo, ("X-Cloud-Trace-Context", f"{trace_id}/123456789;o=1"))
    traced.collector.wait_for(lambda _: tree(traced.collector.trace(trace_id)) == UPLOAD)


def test_a_refusal_is_a_trace_too(traced: Traced) -> None:
    """It says why, and that no credential of the client's was any good."""
    trace_id = secrets.token_hex(16)
    parent = ("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")
    assert traced.client.get(LIMITS, [("X-API-Key", "wrong"), parent]).status == 401
    traced.collector.wait_for(lambda _: len(traced.collector.trace(trace_id)) == 3)
    (check,) = [it for it in traced.collector.trace(trace_id) if it.name == "Check"]
    assert (check.attributes["authz.decision"], check.attributes["authz.reason"]) == (
        "deny",
        "malformed_credential",
    )


def test_nothing_secret_is_in_any_span(traced: Traced, photo: bytes) -> None:
    """No key, query, header, file name, field or body, whoever makes the span."""
    trace_id = secrets.token_hex(16)
    planted = [(name, CANARY) for name in ("Cookie", "X-Custom", "User-Agent", "Referer")]
    state = [("tracestate", f"a={CANARY}"), ("baggage", f"a={CANARY}")]
    parent = ("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")
    for credential in (("X-API-Key", CANARY), ("Authorization", f"Bearer {CANARY}")):
        traced.client.get(f"{LIMITS}?api_key={CANARY}", [credential, *planted, *state])
    broken = photo[:20] + CANARY.encode()
    key = traced.stack.fresh_key()
    traced.client.upload(key, broken, headers=[*planted, *state], scale=CANARY)
    traced.client.upload(key, broken, headers=[("Idempotency-Key", CANARY)], scale="2")
    upload(traced, photo + CANARY.encode(), parent, *planted, *state)
    traced.collector.wait_for(lambda _: tree(traced.collector.trace(trace_id)) == UPLOAD)
    raw = traced.collector.raw
    assert [it for it in (CANARY, key) if it.encode() in raw] == []


def test_a_dead_collector_harms_nobody(traced: Traced, photo: bytes) -> None:
    """Requests go on as before, and spans come again when it is back."""
    traced.collector.kill()
    for _ in range(5):
        upload(traced, photo)
    traced.collector.start()
    for _ in range(20):
        trace_id = secrets.token_hex(16)
        upload(traced, photo, ("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01"))
        if tree(traced.collector.trace(trace_id)):
            return
    traced.collector.wait_for(lambda _: tree(traced.collector.trace(trace_id)) == UPLOAD)
