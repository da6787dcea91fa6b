"""The public door: one HTTP connection manager and its filters in order."""

from authz_service.core.rules import Policy
from authz_service.envoyconf import request_id, tracing
from authz_service.envoyconf.access_log import access_log
from authz_service.envoyconf.body_limit import body_limit
from authz_service.envoyconf.cors import cors_filter
from authz_service.envoyconf.errors import local_replies
from authz_service.envoyconf.ext_authz import ext_authz
from authz_service.envoyconf.model import (
    PUBLIC_LISTENER,
    ROUTE_CONFIGURATION,
    ROUTES_FILE,
    EnvoySettings,
    Json,
    Object,
    duration,
    extension,
    typed,
)
from authz_service.envoyconf.rate_limit import rate_limit
from authz_service.envoyconf.response_headers import response_headers
from authz_service.envoyconf.stats import stats_loggers
from authz_service.envoyconf.watched import watched

SERVER_NAME = "authz-sidecar"

_CONNECTION_MANAGER = (
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_BUFFER_BYTES = 65_536
_CONNECTION_WINDOW_BYTES = 1_048_576
_HEADERS_KIB = 32
_HEADERS_COUNT = 100
_STREAMS = 100

_HEADERS_TIMEOUT_MS = 10_000
_REQUEST_TIMEOUT_MS = 300_000
_STREAM_IDLE_MS = 35_000  # longer than a client may ask the application to wait
_CONNECTION_IDLE_MS = 620_000  # longer than the 600 s of Google's load balancer in front


def public_listener(policy: Policy, settings: EnvoySettings, *, routes: Object) -> Object:
    """The listener. `routes` says where its routes come from: `rds` or `route_config`."""
    return typed(
        "envoy.config.listener.v3.Listener",
        name=PUBLIC_LISTENER,
        address={
            "socket_address": {"address": settings.public_host, "port_value": settings.public_port}
        },
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
        filter_chains=[{"filters": [_connection_manager(policy, settings, routes)]}],
    )


def followed_routes(settings: EnvoySettings) -> Object:
    """Routes that Envoy follows in their own file: a change of them closes no connection."""
    return {
        "rds": {
            "route_config_name": ROUTE_CONFIGURATION,
            "config_source": watched(settings, ROUTES_FILE),
        }
    }


def _connection_manager(policy: Policy, settings: EnvoySettings, routes: Object) -> Object:
    return extension(
        "envoy.filters.network.http_connection_manager",
        _CONNECTION_MANAGER,
        stat_prefix=PUBLIC_LISTENER,
        codec_type="AUTO",
        server_name=SERVER_NAME,
        server_header_transformation="OVERWRITE",
        **_trust(policy),
        **request_id.connection_manager_fields(),
        **_path_rules(),
        **_protection(),
        early_header_mutation_extensions=[_early_mutations(settings)],
        **tracing.tracing(settings),
        # The client learns of a refusal before it sends its file.
        proxy_100_continue=True,
        access_log=[access_log(settings), *stats_loggers(policy)],
        access_log_options={"flush_access_log_on_new_request": True},
        local_reply_config=local_replies(policy),
        http_filters=_filters(policy, settings),
        **routes,
    )


def _trust(policy: Policy) -> Object:
    """Who the client is: its address, as so many trusted proxies say.

    Envoy believes an internal client's `x-envoy-external-address`. Without ranges, or with an empty
    list, everybody with a private address is internal. So the list holds the one address that
    nobody can have (RFC 1122 section 3.2.1.3: limited broadcast is never a source).
    """
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": policy.trusted_hops,
        "internal_address_config": {
            "cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]
        },
    }


def _path_rules() -> Object:
    """One spelling of a path, for the route, the check and the application alike."""
    return {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }


def _protection() -> Object:
    return {
        "max_request_headers_kb": _HEADERS_KIB,
        "request_headers_timeout": duration(_HEADERS_TIMEOUT_MS),
        "request_timeout": duration(_REQUEST_TIMEOUT_MS),
        "stream_idle_timeout": duration(_STREAM_IDLE_MS),
        "common_http_protocol_options": {
            "idle_timeout": duration(_CONNECTION_IDLE_MS),
            "max_headers_count": _HEADERS_COUNT,
            # `x_api_key` and `x-api-key` are one name to many applications.
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": _STREAMS,
            "initial_stream_window_size": _BUFFER_BYTES,
            "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
            "connection_keepalive": {"interval": duration(30_000), "timeout": duration(10_000)},
        },
    }


def _early_mutations(settings: EnvoySettings) -> Object:
    """Before the route is chosen: our own headers and Envoy's are not the client's to send."""
    hygiene: list[Json] = [
        {"remove_on_match": {"key_matcher": {"prefix": prefix}}}
        for prefix in ("x-authz-", "x-envoy-")
    ]
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *hygiene,
            *request_id.early_mutations(),
            *tracing.early_mutations(settings),
        ],
    )


def _filters(policy: Policy, settings: EnvoySettings) -> list[Json]:
    """Requests pass them downwards, responses upwards."""
    return [
        response_headers(policy),
        *tracing.naming(settings),
        cors_filter(),
        ext_authz(),
        body_limit(policy),
        *rate_limit(policy),
        extension(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            suppress_envoy_headers=True,
        ),
    ]
