"""How Envoy asks whether a request may pass, and what it does without an answer."""

from authz_service.envoyconf.asking import grpc_service
from authz_service.envoyconf.model import Object, extension, typed

FILTER = "envoy.filters.http.ext_authz"  # also the namespace of the metadata that comes back

# Everything else in a request stays out of the check: a quarter of the bytes, a tenth of the work.
_ALLOWED_HEADERS = (
    *("x-api-key", "authorization"),
    *("x-request-id", "x-envoy-external-address"),
    *("traceparent", "x-cloud-trace-context"),
)
_MAXIMUM_DENIAL_BYTES = 16_384  # a longer body is cut, and cut JSON is no JSON


def ext_authz() -> Object:
    """The filter. Every failure to get an answer is a 503: never a pass, never a 403."""
    return extension(
        FILTER,
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service=grpc_service(),
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        # Matching the route again after the decision would be a way around the decision.
        clear_route_cache=False,
        validate_mutations=True,
        # The joined form of a repeated header hides that there were two credentials.
        encode_raw_headers=True,
        allowed_headers={
            "patterns": [{"exact": name, "ignore_case": True} for name in _ALLOWED_HEADERS]
        },
        max_denied_response_body_bytes=_MAXIMUM_DENIAL_BYTES,
        # A denial is not an answer of the application: it stays out of its cluster's counters.
        charge_cluster_response_stats=False,
        emit_filter_state_stats=True,
        stat_prefix="public",
    )


def asked_as(route: str) -> Object:
    """A route's own settings: the check names the route, so both sides mean the same one."""
    return {
        FILTER: typed(
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            check_settings={"context_extensions": {"route": route}},
        )
    }


def not_asked() -> Object:
    """A route's own settings: no check at all."""
    return {
        FILTER: typed(
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            disabled=True,
        )
    }
