"""Spans by OpenTelemetry, sent over OTLP/gRPC. The only module of the service that imports it.

Envoy decides which requests are sampled; nothing begins a trace here. Spans wait in a bounded
queue and leave on a thread of their own: while the collector is away they are dropped.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

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

from image_service.clock import Clock
from image_service.core.trace import TraceContext
from image_service.observe import ctx_logger
from image_service.tracing import Value

_QUEUE: Final = 2_048
_BATCH: Final = 512
_EVERY_MS: Final = 1_000
_EXPORT_S: Final = 2.0
_CLOSE_S: Final = 2.0
_SAY_EVERY_MS: Final = 60_000

_KINDS: Final = {"request": SpanKind.SERVER, "job": SpanKind.CONSUMER}
_FAILED: Final = Status(StatusCode.ERROR)


class OtelTracing:
    """Makes spans and sends them to one collector. It has a thread until it is closed."""

    is_on = True

    def __init__(self, endpoint: str, *, service: str, clock: Clock) -> None:
        _complain_once_a_minute(clock)
        exporter = OTLPSpanExporter(
            endpoint, insecure=True, timeout=_EXPORT_S, compression=Compression.NoCompression
        )
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_OFF),
            resource=Resource({SERVICE_NAME: service}),
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
        self._tracer = self._provider.get_tracer(service)

    @property
    def current(self) -> TraceContext | None:
        """The span at hand, sampled or not."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return TraceContext(
            trace_id=f"{found.trace_id:032x}",
            span_id=f"{found.span_id:016x}",
            sampled=found.trace_flags.sampled,
        )

    @contextmanager
    def continued(
        self, name: str, parent: TraceContext | None, *, kind: Literal["request", "job"]
    ) -> Iterator[None]:
        """A span of what Envoy, or the API of this service, has begun."""
        if parent is None:
            yield
            return
        with (
            structlog.contextvars.bound_contextvars(trace_id=parent.trace_id),
            self._begun(name, _KINDS[kind], trace.set_span_in_context(_remote(parent))),
        ):
            yield

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A span within the one at hand, if there is one."""
        if not trace.get_current_span().is_recording():
            yield
            return
        with self._begun(name, SpanKind.INTERNAL, None):
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
    flags = trace.TraceFlags(parent.sampled)
    trace_id, span_id = int(parent.trace_id, 16), int(parent.span_id, 16)
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))


def _complain_once_a_minute(clock: Clock) -> None:
    """Have what the library complains about told as lines of ours; it does so with every batch."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_OnceAMinute(clock)]
    logger.propagate = False


class _OnceAMinute(logging.Handler):
    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._next_ms = clock.now_ms()

    def emit(self, record: logging.LogRecord) -> None:
        now_ms = self._clock.now_ms()
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + _SAY_EVERY_MS
            ctx_logger.warning("Spans do not get through", reason=record.getMessage())
