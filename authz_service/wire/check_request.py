"""Envoy's CheckRequest to Facts. Never refuses: what is absent is empty, and denied later."""

from collections.abc import Iterator

from authz_service.core.facts import Facts
from authz_service.wire.pb.ext_authz_pb2 import AttributeContext, CheckRequest

ROUTE_EXTENSION = "route"


def decode_check_request(request: CheckRequest) -> Facts:
    """The request as plain values.

    The path is cut at its first `?` and not interpreted further: Envoy has normalised it, and
    two parsers of one path are how requests slip past a check.
    """
    attributes = request.attributes
    http = attributes.request.http
    path, _, query = http.path.partition("?")
    api_keys: list[bytes] = []
    authorizations: list[bytes] = []
    request_id = client_address = ""
    for name, value in _headers(http):
        if name == "x-api-key":
            api_keys.append(value)
        elif name == "authorization":
            authorizations.append(value)
        elif name == "x-request-id":
            request_id = value.decode("latin-1")
        elif name == "x-envoy-external-address":
            client_address = value.decode("latin-1")
    return Facts(
        method=http.method,
        path=path,
        query=query,
        route_hint=attributes.context_extensions.get(ROUTE_EXTENSION, ""),
        request_id=request_id,
        client_address=client_address,
        api_keys=tuple(api_keys),
        authorizations=tuple(authorizations),
    )


def _headers(http: AttributeContext.HttpRequest) -> Iterator[tuple[str, bytes]]:
    """Every header line as sent, lower-case name first.

    With `encode_raw_headers` Envoy keeps repeated headers apart and bytes as they came. Without
    it repeats arrive joined by commas, which no credential may contain, so they are refused too.
    """
    for header in http.header_map.headers:
        yield header.key, header.raw_value or header.value.encode()
    for name, text in http.headers.items():
        yield name, text.encode()
