"""What Envoy is started with: everything that does not change with the policy's routes."""

from collections.abc import Sequence

from authz_service.core.rules import Policy
from authz_service.envoyconf.clusters import (
    admin_cluster,
    authz_cluster,
    metrics_cluster,
    upstream_cluster,
)
from authz_service.envoyconf.listener import public_listener
from authz_service.envoyconf.model import (
    CLUSTERS_FILE,
    LISTENERS_FILE,
    EnvoySettings,
    Json,
    Object,
    duration,
    extension,
    untyped,
)
from authz_service.envoyconf.routes import route_configuration
from authz_service.envoyconf.scrape import scrape_listener
from authz_service.envoyconf.stats import histogram_buckets
from authz_service.envoyconf.tracing import collector_cluster, runtime
from authz_service.envoyconf.watched import watched

_OWNER_ONLY = 0o600
_CONNECTIONS = 10_000
_HEAP_BYTES = 512 * 1_048_576


def bootstrap(policy: Policy, settings: EnvoySettings) -> Object:
    """The file Envoy is started with. It follows the others."""
    followed: Json = {
        "cds_config": watched(settings, CLUSTERS_FILE),
        "lds_config": watched(settings, LISTENERS_FILE),
    }
    return {"dynamic_resources": followed, **_fixed(policy, settings)}


def standalone(policy: Policy, settings: EnvoySettings) -> Object:
    """All of it in one document that follows nothing.

    For `envoy --mode validate`, which does not look into followed files.
    """
    routes = {"route_config": untyped(route_configuration(policy, settings))}
    listener = untyped(public_listener(policy, settings, routes=routes))
    upstream = untyped(upstream_cluster(policy, settings))
    return _fixed(policy, settings, listeners=[listener], clusters=[upstream])


def _fixed(
    policy: Policy,
    settings: EnvoySettings,
    *,
    listeners: Sequence[Object] = (),
    clusters: Sequence[Object] = (),
) -> Object:
    return {
        "node": {"id": "authz-sidecar", "cluster": "authz-sidecar"},
        "admin": {"address": {"pipe": {"path": settings.admin_socket, "mode": _OWNER_ONLY}}},
        "application_log_config": {"log_format": {"json_format": _log_line()}},
        "static_resources": {
            "listeners": [scrape_listener(settings), *listeners],
            "clusters": [
                authz_cluster(settings),
                admin_cluster(settings),
                *metrics_cluster(settings),
                *collector_cluster(settings),
                *clusters,
            ],
        },
        "stats_config": {"histogram_bucket_settings": [histogram_buckets(policy)]},
        "stats_flush_interval": duration(1_000),  # a histogram shows up after a flush
        "overload_manager": _overload_manager(),
        **runtime(settings),
    }


def _log_line() -> Object:
    """Envoy's own log. `%j` is its message, escaped for JSON."""
    return {
        "timestamp": "%Y-%m-%dT%H:%M:%S.%e%z",
        "severity": "%l",
        "message": "%j",
        "logger": "%n",
    }


def _overload_manager() -> Object:
    monitors = "envoy.extensions.resource_monitors"
    return {
        "refresh_interval": duration(250),
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=_CONNECTIONS,
            ),
            extension(
                "envoy.resource_monitors.fixed_heap",
                f"{monitors}.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=_HEAP_BYTES,
            ),
        ],
        "actions": [
            _when_heap_is("envoy.overload_actions.shrink_heap", 0.9),
            _when_heap_is("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _when_heap_is(action: str, full: float) -> Json:
    trigger: Json = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": full}}
    return {"name": action, "triggers": [trigger]}
