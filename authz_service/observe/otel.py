"""Spans by OpenTelemetry, sent over OTLP/gRPC. The only module of the sidecar that imports it.

Envoy decides which requests are sampled; nothing begins a trace here. Spans wait in a bounded
queue and leave on a thread of their own: while the collector is away they are dropped.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import structlog
from grpc import Compression
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from authz_service.clock import Clock
from authz_service.core.trace_context import TraceContext
from authz_service.observe.once_a_minute import OnceAMinute
from authz_service.observe.tracing import Value

_SERVICE: Final = "authz_service"
_QUEUE: Final = 4_096
_BATCH: Final = 512
_EVERY_MS: Final = 1_000
_EXPORT_S: Final = 2.0
_CLOSE_S: Final = 2.0

_FAILED: Final = Status(StatusCode.ERROR)
_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)

_log = structlog.get_logger(__name__)


class OtelTracer:
    """Makes spans and sends them to one collector. It has a thread until it is closed."""

    def __init__(self, endpoint: str, *, clock: Clock) -> None:
        _complain_once_a_minute(clock)
        exporter = OTLPSpanExporter(
            endpoint, insecure=True, timeout=_EXPORT_S, compression=Compression.NoCompression
        )
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_OFF),
            resource=Resource({SERVICE_NAME: _SERVICE}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_QUEUE,
                max_export_batch_size=_BATCH,
                schedule_delay_millis=_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer(_SERVICE)

    @contextmanager
    def continued(self, name: str, parent: TraceContext) -> Iterator[None]:
        """A span of what Envoy asked for."""
        with structlog.contextvars.bound_contextvars(trace_id=parent.trace_id):
            if not parent.sampled:
                yield
                return
            with self._begun(name, SpanKind.SERVER, trace.set_span_in_context(_remote(parent))):
                yield

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A span within the one at hand, if there is one."""
        if not trace.get_current_span().is_recording():
            yield
            return
        with self._begun(name, SpanKind.CLIENT, None):
            yield

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Add to the span at hand, if there is one."""
        trace.get_current_span().set_attributes(attributes)

    async def close(self) -> None:
        """Send what is left, for two seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)

    @contextmanager
    def _begun(self, name: str, kind: SpanKind, context: Context | None) -> Iterator[None]:
        # An exception's text may quote anything: the span says only that there was one.
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException:
                span.set_status(_FAILED)
                raise


def _remote(parent: TraceContext) -> NonRecordingSpan:
    return NonRecordingSpan(
        SpanContext(
            int(parent.trace_id, 16),
            int(parent.parent_id, 16),
            is_remote=True,
            trace_flags=_SAMPLED,
        )
    )


def _complain_once_a_minute(clock: Clock) -> None:
    """Have what the library complains about told as lines of ours; it does so with every batch."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_Complaints(clock)]
    logger.propagate = False


class _Complaints(logging.Handler):
    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._telling = OnceAMinute(clock)

    def emit(self, record: logging.LogRecord) -> None:
        if self._telling.is_due():
            _log.warning("spans do not get through", reason=record.getMessage())
