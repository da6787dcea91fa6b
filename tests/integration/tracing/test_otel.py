"""What either service does with its spans: they arrive, or nobody waits for them."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import pytest
import structlog

from authz_service.core.trace_context import TraceContext as SidecarContext
from authz_service.observe.otel import OtelTracer
from authz_service.testing.clock import ManualClock
from image_service.core.trace import TraceContext
from image_service.otel import OtelTracing
from tests.servers.collector import collecting

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CANARY = "canary-93b1f7aa"


class Spans(Protocol):
    """What both have alike."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """A span within the one at hand."""

    async def close(self) -> None:
        """Send what is left."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service's own way to make spans and to continue a trace."""

    name: str
    make: Callable[[str], Spans]
    outer: Callable[[Spans, bool], AbstractContextManager[None]]


def _sidecar(tracer: Spans, sampled: bool) -> AbstractContextManager[None]:  # noqa: FBT001
    assert isinstance(tracer, OtelTracer)
    return tracer.continued("outer", SidecarContext(TRACE, PARENT, sampled))


def _image(tracer: Spans, sampled: bool) -> AbstractContextManager[None]:  # noqa: FBT001
    assert isinstance(tracer, OtelTracing)
    return tracer.continued("outer", TraceContext(TRACE, PARENT, sampled), kind="request")


SERVICES = (
    Service("authz_service", lambda place: OtelTracer(place, clock=ManualClock()), _sidecar),
    Service(
        "image_service",
        lambda place: OtelTracing(place, service="image_service", clock=ManualClock()),
        _image,
    ),
)


@pytest.fixture(params=SERVICES, ids=lambda it: it.name)
def service(request: pytest.FixtureRequest) -> Service:
    """Either service."""
    found: Service = request.param
    return found


async def test_what_is_left_is_sent_at_the_end(service: Service) -> None:
    """A span inside a span inside Envoy's; what is not sampled leaves none."""
    with collecting() as collector:
        tracer = service.make(collector.endpoint)
        for sampled in (True, False):
            with service.outer(tracer, sampled), tracer.span("inner"):
                pass
        with tracer.span("of no trace"):
            pass
        await tracer.close()
        inner, outer = collector.spans
    assert (outer.service, outer.name, outer.parent_id) == (service.name, "outer", PARENT)
    assert (inner.name, inner.parent_id, inner.failed) == ("inner", outer.span_id, False)
    assert (outer.trace_id, inner.trace_id) == (TRACE, TRACE)


async def test_a_failure_is_told_without_its_text(service: Service) -> None:
    """An exception may quote anything: both spans failed, and neither says how."""
    with collecting() as collector:
        tracer = service.make(collector.endpoint)
        with (
            pytest.raises(ValueError, match=CANARY),
            service.outer(tracer, True),  # noqa: FBT003
            tracer.span("inner"),
        ):
            raise ValueError(CANARY)
        await tracer.close()
        assert [it.failed for it in collector.spans] == [True, True]
        assert CANARY.encode() not in collector.raw


async def test_log_lines_carry_the_trace(service: Service) -> None:
    """Inside it and no longer, sampled or not."""
    tracer = service.make("http://127.0.0.1:9")
    for sampled in (True, False):
        with service.outer(tracer, sampled):
            assert structlog.contextvars.get_contextvars() == {"trace_id": TRACE}
    assert structlog.contextvars.get_contextvars() == {}
    await tracer.close()


@pytest.mark.slow
@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "hangs"])
async def test_nobody_waits_for_a_collector(service: Service, refuses: bool) -> None:  # noqa: FBT001
    """Many spans are made at once, one line a minute says they are lost, and the end is in time."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, structlog.testing.capture_logs() as lines:
        place = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        if refuses:
            deaf.close()
        tracer = service.make(place)
        async with asyncio.timeout(20):
            for _ in range(6_000):
                with service.outer(tracer, True):  # noqa: FBT003
                    pass
            began = asyncio.get_running_loop().time()
            await tracer.close()
            took = asyncio.get_running_loop().time() - began
    assert took < 4
    assert [it["event"].lower() for it in lines] == ["spans do not get through"]
    assert [it["log_level"] for it in lines] == ["warning"]
