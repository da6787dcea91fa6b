"""One request is one trace, over every part of the real stack, and nothing secret is in it."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.client import MULTIPART, Client, multipart
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running
from tests.servers.collector import Collector, Span, collecting

pytestmark = pytest.mark.slow

UPSCALE = "/api/v1/images/upscale"
LIMITS = "/api/v1/images/limits"
CANARY = "canary-5e1f0c7a"
CHECK_CALL = "async envoy.service.auth.v3.Authorization.Check egress"
LIMIT_CALL = "async envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit egress"


@dataclass(frozen=True)
class Traced:
    """A stack, and where its spans go."""

    stack: Stack
    collector: Collector

    @property
    def client(self) -> Client:
        """A client of the public port."""
        return self.stack.client

    def line(self, request_id: str) -> str:
        """What the stack shows of a request; enough that it was shown."""
        return next(line for line in self.stack.output if request_id in line)

    def whole(self, trace_id: str, *names: str) -> list[Span]:
        """The spans of a trace, once those of these names have come."""
        wanted = set(names)
        self.collector.wait_for(
            lambda spans: wanted <= {it.name for it in spans if it.trace_id == trace_id}
        )
        return self.collector.trace(trace_id)


@pytest.fixture(scope="module", params=["native", "grpcio"])
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    """A stack that is traced whole, with limits over all callers on its uploads."""
    policy = default_policy_with_extra_tiers()
    with (
        collecting() as collector,
        running(
            policy,
            AUTHZ_GRPC_SERVER=request.param,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        ) as stack,
    ):
        yield Traced(stack, collector)


def new_trace() -> str:
    """The id of a trace that no other test is in."""
    return secrets.token_hex(16)


def one(spans: Sequence[Span], name: str) -> Span:
    """The only span of a name."""
    (found,) = [it for it in spans if it.name == name]
    return found


def test_an_upload_is_one_trace(traced: Traced, photo: bytes) -> None:
    """From the client's parent through Envoy, sidecar and store to the API and the worker."""
    trace_id, parent_id = new_trace(), secrets.token_hex(8)
    parent = ("traceparent", f"00-{trace_id}-{parent_id}-01")

    done = traced.client.upload(
        traced.stack.fresh_key(), photo, headers=[parent, ("Prefer", "wait=15")], scale="2"
    )

    assert done.status == 200
    spans = traced.whole(trace_id, CHECK_CALL, "Check", "store charge", "job", "keep result")
    for it in spans:
        print(it)
    entry = next(it for it in spans if (it.service, it.name) == ("envoy", UPSCALE))
    api = next(it for it in spans if (it.service, it.name) == ("image_service", UPSCALE))
    call, check = one(spans, CHECK_CALL), one(spans, "Check")
    store, job = one(spans, "store charge"), one(spans, "job")
    assert entry.parent_id == parent_id
    assert call.parent_id == api.parent_id == entry.span_id
    assert (check.service, check.parent_id) == ("authz_service", call.span_id)
    assert (store.service, store.parent_id) == ("authz_service", check.span_id)
    assert (job.service, job.parent_id) == ("image_worker", api.span_id)
    assert 0


def test_x(traced: Traced, photo: bytes) -> None:
    """x"""
    pass
