"""Traces, as the rest of the service knows them. Who makes spans of it is in `otel.py`.

Where no collector is set there is no tracer: nothing is wrapped, and nothing is imported.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Final, Protocol

from authz_service.clock import Clock
from authz_service.core.trace_context import TraceContext
from authz_service.errors import ConfigurationError

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"

_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc")
_MISSING: Final = (
    f"{ENDPOINT}: traces need packages that are not installed:"
    " install the optional dependencies `authz-sidecar[tracing]`"
)

Value = str | int | bool


class Tracer(Protocol):
    """Makes spans. What is not sampled costs little and leaves none."""

    def continued(self, name: str, parent: TraceContext) -> AbstractContextManager[None]:
        """A span of what another process asked for. Log lines inside carry the trace's id."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """A span of a part of what is at hand. It fails if the block raises."""

    def tell(self, attributes: Mapping[str, Value]) -> None:
        """Add to the span at hand. Nothing secret, and nothing that a client wrote."""

    async def close(self) -> None:
        """Send what is left, for as long as that may take at the end of a process."""


def tracer_to(endpoint: str | None, *, clock: Clock) -> Tracer | None:
    """A tracer that sends spans to `http://HOST:PORT`; none without one.

    Raises:
        ConfigurationError: the packages for it are not installed.
    """
    if endpoint is None:
        return None
    require_packages()
    from authz_service.observe.otel import OtelTracer  # noqa: PLC0415 - costs nothing while off

    return OtelTracer(endpoint, clock=clock)


def require_packages() -> None:
    """See that spans could be made, and import nothing for it.

    Raises:
        ConfigurationError: they could not.
    """
    if not all(map(_is_installed, _NEEDED)):
        raise ConfigurationError([_MISSING])


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
