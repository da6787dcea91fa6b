"""How Envoy asks whether a request may pass, and what it does without an answer."""

from authz_service.envoyconf.model import AUTHZ_CLUSTER, Object, duration, extension, typed

FILTER = "envoy.filters.http.ext_authz"  # also the namespace of the metadata that comes back

CHECK_TIMEOUT_MS = 250

# Everything else in a request stays out of the check: a quarter of the bytes, a tenth of the work.
_ALLOWED_HEADERS = ("x-api-key", "authorization", "x-request-id", "x-envoy-external-address")
_MAXIMUM_DENIAL_BYTES = 16_384  # a longer body is cut, and cut JSON is no JSON


def ext_authz() -> Object:
    """The filter. Every failure to get an answer is a 503: never a pass, never a 403."""
    return extension(
        FILTER,
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        grpc_service=_grpc_service(),
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


def _grpc_service() -> Object:
    return {
        "envoy_grpc": {"cluster_name": AUTHZ_CLUSTER},
        "timeout": duration(CHECK_TIMEOUT_MS),  # "0s" would mean for ever
        "retry_policy": {
            # Also when a worker died over a check that it may have charged: the second check has
            # the same stream id, under which nothing is charged twice.
            "retry_on": "connect-failure,refused-stream,reset,unavailable",
            "num_retries": 3,
            # Envoy takes max_interval for the time limit of one try. A shorter one would send a
            # slow check again and again, to workers that have enough to do.
            "retry_back_off": {
                "base_interval": duration(5),
                "max_interval": duration(CHECK_TIMEOUT_MS),
            },
            "retry_host_predicate": [
                extension(
                    "envoy.retry_host_predicates.previous_hosts",
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            # The dead worker has the fewest checks in flight and is drawn three times in four while
            # there are two: after 20 draws it is not drawn once more but once in 400 retries.
            "host_selection_retry_max_attempts": 20,
        },
    }
