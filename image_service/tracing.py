"""Traces, as the rest of the service knows them. Who makes spans of it is in `otel.py`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Final, Literal, Protocol

from image_service.clock import Clock
from image_service.core.trace import TraceContext
from image_service.errors import ConfigurationError

_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc")
_MISSING: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT: traces need packages that are not installed:"
    " install the optional dependencies `authz-sidecar[tracing]`"
)
_NOTHING: Final = nullcontext()

Value = str | int


class Tracing(Protocol):
    """Makes spans. What is not sampled costs little and leaves none."""

    @property
    def is_on(self) -> bool:
        """Whether there will ever be a span."""

    @property
    def current(self) -> TraceContext | None:
        """The span at hand, for what goes on elsewhere."""

    def continued(
        self, name: str, parent: TraceContext | None, *, kind: Literal["request", "job"]
    ) -> AbstractContextManager[None]:
        """A span of what began elsewhere. Log lines inside carry the trace's id."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """A span of a part of what is at hand. It fails if the block raises."""

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Add to the span at hand. Nothing secret, and nothing that a client wrote."""

    async def close(self) -> None:
        """Send what is left, for as long as that may take at the end of a process."""


class NoTracing:
    """No spans at all."""

    is_on = False
    current = None

    def continued(
        self, _name: str, _parent: TraceContext | None, *, kind: Literal["request", "job"]
    ) -> AbstractContextManager[None]:
        """Nothing."""
        del kind
        return _NOTHING

    def span(self, _name: str) -> AbstractContextManager[None]:
        """Nothing."""
        return _NOTHING

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


def tracing_to(endpoint: str | None, *, service: str, clock: Clock) -> Tracing:
    """Spans of `service` for the collector at `http://HOST:PORT`; none without one.

    Raises:
        ConfigurationError: the packages for it are not installed.
    """
    if endpoint is None:
        return NoTracing()
    if not all(map(_is_installed, _NEEDED)):
        raise ConfigurationError([_MISSING])
    from image_service.otel import OtelTracing  # noqa: PLC0415 - costs nothing while off

    return OtelTracing(endpoint, service=service, clock=clock)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
