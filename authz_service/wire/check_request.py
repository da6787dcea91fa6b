"""Envoy's CheckRequest to Facts. Never refuses: what is absent is empty, and denied later."""

from authz_service.core.facts import Facts
from authz_service.wire.pb.ext_authz_pb2 import AttributeContext, CheckRequest

ROUTE_EXTENSION = "route"

_MAX_STREAM_ID_LENGTH = 64  # Envoy's have 20 digits; this one becomes part of a key in the store
_MAX_TRACE_LENGTH = 128  # a `traceparent` yet to come may be longer: its beginning is enough


def decode_check_request(request: CheckRequest) -> Facts:
    """The request as plain values.

    The path is cut at its first `?` and not interpreted further: Envoy has normalised it, and
    two parsers of one path are how requests slip past a check.
    """
    attributes = request.attributes
    http = attributes.request.http
    path, _, query = http.path.partition("?")
    headers = _headers(http)
    return Facts(
        method=http.method,
        path=path,
        query=query,
        route_hint=attributes.context_extensions.get(ROUTE_EXTENSION, ""),
        request_id=_last(headers, "x-request-id"),
        stream_id=http.id if len(http.id) <= _MAX_STREAM_ID_LENGTH else "",
        client_address=_last(headers, "x-envoy-external-address"),
        api_keys=tuple(headers.get("x-api-key", ())),
        authorizations=tuple(headers.get("authorization", ())),
        traceparent=_only(headers, "traceparent"),
        cloud_trace=_only(headers, "x-cloud-trace-context"),
    )


def _headers(http: AttributeContext.HttpRequest) -> dict[str, list[bytes]]:
    """Every value of every header as sent, by lower-case name.

    With `encode_raw_headers` Envoy keeps repeated headers apart and bytes as they came. Without
    it repeats arrive joined by commas, which no credential may contain, so they are refused too.
    """
    found: dict[str, list[bytes]] = {}
    for header in http.header_map.headers:
        found.setdefault(header.key, []).append(header.raw_value or header.value.encode())
    for name, text in http.headers.items():
        found.setdefault(name, []).append(text.encode())
    return found


def _last(headers: dict[str, list[bytes]], name: str) -> str:
    """The last value of a header that Envoy itself sets."""
    values = headers.get(name)
    return values[-1].decode("latin-1") if values else ""


def _only(headers: dict[str, list[bytes]], name: str) -> str:
    """The one value of a header about the trace, cut short; of several none is the right one."""
    values = headers.get(name)
    if values is None or len(values) > 1:
        return ""
    return values[0][:_MAX_TRACE_LENGTH].decode("latin-1")
