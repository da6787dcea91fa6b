"""Traces over OTLP/gRPC: whom Envoy sends spans to, which requests have them, what is in them.

A trace begins here, or goes on from `traceparent` (W3C Trace Context) or `X-Cloud-Trace-Context`
(Google). A client can name its trace and can say no; how many are sampled is not the client's to
say. Nothing that a client wrote is in a span but the path, as in the access log, and its id.
"""

from typing import Final

from authz_service.envoyconf.clusters import collector
from authz_service.envoyconf.model import (
    COLLECTOR_CLUSTER,
    EnvoySettings,
    Json,
    Object,
    duration,
    extension,
)
from authz_service.envoyconf.request_id import overwrite
from authz_service.envoyconf.stats import ENDPOINT, METHOD

SERVICE_NAME: Final = "envoy"

_TIMEOUT_MS: Final = 1_000
_FLUSH_EVERY_MS: Final = 1_000
_FLUSH_SPANS: Final = 100
_MILLION: Final = 1_000_000

# Scratch headers: a mutation sees what the one before it wrote.
_W3C = "x-trace-w3c"
_CLOUD = "x-trace-cloud"
_CHOSEN = "x-trace-chosen"
_FLAGS = "x-trace-flags"
_DRAW = "x-trace-draw"
_SCRATCH = (_W3C, _CLOUD, _CHOSEN, _FLAGS, _DRAW)

# Tags of free text, and one more way to ask for a trace (`x-client-trace-id`).
_FREE_TEXT = ("tracestate", "baggage", "x-client-trace-id")
_GRPC_TAGS = ("grpc.path", "grpc.authority", "grpc.content_type", "grpc.timeout")

_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_UP_TO_FLAGS = len("00-") + _TRACE_DIGITS + len("-") + _SPAN_DIGITS + len("-")
_DRAW_DIGITS = 8


def tracing(settings: EnvoySettings) -> Object:
    """The connection manager's part; none where no collector is set."""
    if settings.collector is None:
        return {}
    return {
        "tracing": {
            "operation": ENDPOINT,
            # The tag `http.url` has the query. Without a path it has none of it.
            "max_path_tag_length": 0,
            "custom_tags": _tags(),
            "provider": extension(
                "envoy.tracers.opentelemetry",
                "envoy.config.trace.v3.OpenTelemetryConfig",
                service_name=SERVICE_NAME,
                grpc_service={
                    "envoy_grpc": {"cluster_name": COLLECTOR_CLUSTER},
                    "timeout": duration(_TIMEOUT_MS),
                },
                sampler=_sampler(settings.trace_sampling),
            ),
        }
    }


def collector_cluster(settings: EnvoySettings) -> list[Object]:
    """Where spans go, if they go anywhere."""
    return [] if settings.collector is None else [collector(*settings.collector)]


def runtime(settings: EnvoySettings) -> Object:
    """Spans go out together. By default Envoy sends as few as five at a time."""
    if settings.collector is None:
        return {}
    values: Json = {
        "tracing.opentelemetry.flush_interval_ms": _FLUSH_EVERY_MS,
        "tracing.opentelemetry.min_flush_spans": _FLUSH_SPANS,
    }
    return {"layered_runtime": {"layers": [{"name": "tracing", "static_layer": values}]}}


def early_mutations(settings: EnvoySettings) -> list[Json]:
    """Leaves `traceparent` sane or absent; Envoy then begins a trace where it is absent.

    Envoy would give a request with a malformed one no trace at all, and would sample whatever a
    client says is sampled. So the flag is drawn anew.
    """
    if settings.collector is None:
        return []
    cloud = (
        f"00-%REQ(X-CLOUD-TRACE-CONTEXT):{_TRACE_DIGITS}%"
        f"-%REQ(X-CLOUD-TRACE-CONTEXT):{_SPAN_DIGITS}%-"
    )
    return [
        *({"remove": name} for name in (*_SCRATCH, *_FREE_TEXT)),
        {"append": overwrite(_DRAW, "%UNIQUE_ID%")},
        {"append": overwrite(_W3C, f"%REQ(TRACEPARENT):{_UP_TO_FLAGS}%")},
        # The span's number is decimal, which no expression converts. The first half of the trace's
        # id stands for it.
        {"append": overwrite(_CLOUD, cloud)},
        {"append": overwrite(_CHOSEN, f"%CEL({_chosen()})%")},
        {"append": overwrite(_FLAGS, f"%CEL({_flags(settings.trace_sampling)})%")},
        {"remove": "traceparent"},
        {"append": overwrite("traceparent", f"%REQ({_CHOSEN.upper()})%%REQ({_FLAGS.upper()})%")},
        # One header names the trace from here on, so that every part means the same one.
        *({"remove": name} for name in (*_SCRATCH, "x-cloud-trace-context")),
    ]


def naming(settings: EnvoySettings) -> list[Json]:
    """The filter that names a trace which begins here to the check and to the access log.

    The router names it to the application only, and in its own words: what stands here is read for
    the id alone. Early mutations are too early for it.
    """
    if settings.collector is None:
        return []
    header: Json = {"key": "traceparent", "value": "00-%TRACE_ID%-%SPAN_ID%-00"}
    mutation: Json = {"append": {"header": header, "append_action": "ADD_IF_ABSENT"}}
    return [
        extension(
            "trace",
            "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            mutations={"request_mutations": [mutation]},
        )
    ]


def _sampler(sampling: float) -> Object:
    """As the flag of the parent says, and of those without one this part.

    The connection manager's own `random_sampling` goes by the request's id, which is a client's to
    choose; and while that is not looked at, as here, everything is sampled.
    """
    samplers = "envoy.extensions.tracers.opentelemetry.samplers.v3"
    part: Json = {"numerator": round(sampling * _MILLION), "denominator": "MILLION"}
    return extension(
        "envoy.tracers.opentelemetry.samplers.parent_based",
        f"{samplers}.ParentBasedSamplerConfig",
        wrapped_sampler=extension(
            "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
            f"{samplers}.TraceIdRatioBasedSamplerConfig",
            sampling_percentage=part,
        ),
    )


def _tags() -> list[Json]:
    """The path as the access log has it, and nothing in place of what a client may write freely.

    Envoy always sets the next three; an empty value would leave theirs. The last are set where a
    request calls itself gRPC, which any may: the path with its query among them.
    """
    return [
        {"tag": "url.path", "value": "%PATH(NQ)%"},
        {"tag": "http.method", "value": METHOD},
        {"tag": "http.url", "value": "-"},
        {"tag": "user_agent", "value": "-"},
        *({"tag": name, "value": f"%CEL({_is_grpc()} ? '-' : '')%"} for name in _GRPC_TAGS),
    ]


def _is_grpc() -> str:
    """An expression: true wherever Envoy sets tags of gRPC, and for a few types beside."""
    name = "content-type"
    return f"'{name}' in request.headers && {_header(name)}.startsWith('application/grpc')"


def _chosen() -> str:
    """An expression: the parent up to its flags; W3C's, else Google's, else nothing."""
    return f"{_is_w3c()} ? {_header(_W3C)} : {_is_cloud()} ? {_header(_CLOUD)} : ''"


def _is_w3c() -> str:
    """A pattern for the whole would be larger than Envoy lets a regular expression be."""
    whole = _header("traceparent")
    return (
        f"('traceparent' in request.headers && size({whole}) == {_UP_TO_FLAGS + 2}"
        f" && {whole}.matches('^00-[0-9a-f]{{{_TRACE_DIGITS}}}-')"
        f" && {whole}.matches('-[0-9a-f]{{{_SPAN_DIGITS}}}-[0-9a-f]{{2}}$')"
        f" && {_has_ids(_W3C)})"
    )


def _is_cloud() -> str:
    whole = _header("x-cloud-trace-context")
    return (
        f"('x-cloud-trace-context' in request.headers"
        f" && {whole}.matches('^[0-9a-f]{{{_TRACE_DIGITS}}}(/[0-9]+)?(;o=[0-9]+)?$')"
        f" && {_has_ids(_CLOUD)})"
    )


def _has_ids(candidate: str) -> str:
    """Neither is all zero, which would be none."""
    return f"!{_header(candidate)}.matches('-0+-')"


def _flags(sampling: float) -> str:
    """An expression: `01` for a request that is sampled, `00` for one that is not.

    A client that says nothing about it is drawn for like one that wants it.
    """
    w3c, cloud = _header("traceparent"), _header("x-cloud-trace-context")
    refused = (
        f"('{_W3C}' in request.headers && {_header(_CHOSEN)} == {_header(_W3C)}"
        f" ? {w3c}.matches('[02468ace]$')"
        f" : {cloud}.matches(';o=[0-9]*[02468]$'))"
    )
    return (
        f"!('{_CHOSEN}' in request.headers) ? ''"
        f" : {_is_drawn(sampling)} && !{refused} ? '01' : '00'"
    )


def _is_drawn(sampling: float) -> str:
    """An expression: true for this part of all requests. The draw begins with random digits."""
    if sampling >= 1:
        return "true"
    end = round(sampling * 16**_DRAW_DIGITS)
    return f"{_header(_DRAW)} < '{end:0{_DRAW_DIGITS}x}'"


def _header(name: str) -> str:
    return f"request.headers['{name}']"
