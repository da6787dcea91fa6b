"""A real OTLP/gRPC collector that keeps what it is sent: the protocol's own messages and service.

It speaks to whoever exports spans: Envoy, the sidecar's workers and the image service alike.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

_DEADLINE_S = 20.0
_MAX_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it arrived. Ids are hexadecimal; a root's `parent_id` is empty."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, object]
    links: Sequence[str]
    failed: bool


class Collector(TraceServiceServicer):
    """Listens on a loopback port, and can be killed and started anew on the same one."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._requests: list[ExportTraceServiceRequest] = []
        self._server: grpc.Server | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen."""
        options = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_BATCH_BYTES))
        self._server = grpc.server(ThreadPoolExecutor(4), options=options)
        add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def kill(self) -> None:
        """Be gone at once, calls under way included."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
        self._server = None

    def Export(  # noqa: N802 - the protocol's name
        self,
        request: ExportTraceServiceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> ExportTraceServiceResponse:
        """Keep a batch."""
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()
        return ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """Everything that has arrived, in that order."""
        with self._arrived:
            return [span for request in self._requests for span in _spans(request)]

    @property
    def raw(self) -> bytes:
        """The same as it came over the wire, to be searched for what must not be in it."""
        with self._arrived:
            return b"".join(request.SerializeToString() for request in self._requests)

    def trace(self, trace_id: str) -> list[Span]:
        """What has arrived of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def wait_for(self, wanted: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, once they are as wanted."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: wanted(self.spans), _DEADLINE_S):
                names = [f"{it.service}: {it.name} of {it.trace_id}" for it in self.spans]
                raise AssertionError("not the spans that were waited for:\n" + "\n".join(names))
            return self.spans


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for as long as the block lasts."""
    collector = Collector().start()
    try:
        yield collector
    finally:
        collector.kill()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for batch in request.resource_spans:
        resource = {it.key: _plain(it.value) for it in batch.resource.attributes}
        for scope in batch.scope_spans:
            for span in scope.spans:
                yield _span(span, str(resource.get("service.name", "")))


def _span(span: SpanMessage, service: str) -> Span:
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes={it.key: _plain(it.value) for it in span.attributes},
        links=tuple(link.trace_id.hex() for link in span.links),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
    )


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)
