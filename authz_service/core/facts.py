"""What we know about one request: Envoy's attributes as plain values, nothing judged yet."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One request as Envoy describes it. Anything Envoy left out is empty.

    Credential headers hold every value the client sent, as bytes, so that doubled headers stay
    visible. `client_address` is `x-envoy-external-address`: the only address Envoy vouches for.
    `stream_id` is Envoy's own name for the request, out of a client's reach: a check that Envoy
    sends again has the same one (`AttributeContext.HttpRequest.id`).
    `traceparent` and `cloud_trace` (`X-Cloud-Trace-Context`) are as they came: `trace_context`
    reads them, where somebody wants to know the trace.
    """

    method: str
    path: str
    query: str = field(repr=False)  # it may hold a credential that does not belong there
    route_hint: str
    request_id: str
    stream_id: str
    client_address: str
    api_keys: tuple[bytes, ...] = field(repr=False)
    authorizations: tuple[bytes, ...] = field(repr=False)
    traceparent: str
    cloud_trace: str
