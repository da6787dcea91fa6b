"""The settings of traces: where spans go, and of how many requests."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from authz_service.addresses import HostAndPort, destination


def _collector(text: str) -> HostAndPort:
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError("is not http://HOST:PORT") from None
    if url.scheme != "http" or text.rstrip("/") != f"http://{url.netloc}":
        raise ValueError("is not http://HOST:PORT")
    return destination(url.netloc)


Collector = Annotated[HostAndPort, BeforeValidator(_collector)]


class TracingSettings(BaseModel):
    """A part of the settings."""

    model_config = ConfigDict(frozen=True)

    otlp_endpoint: Collector | None = Field(
        default=None,
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="`http://HOST:PORT` of an OTLP/gRPC collector. Set: requests are traced.",
    )
    trace_sampling: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1,
        alias="AUTHZ_TRACE_SAMPLING",
        description="The part of all requests that is traced at most.",
    )

    @property
    def traces_go_to(self) -> str | None:
        """The collector as its clients want it; None: nothing is traced."""
        return None if self.otlp_endpoint is None else f"http://{self.otlp_endpoint}"
