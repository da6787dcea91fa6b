"""Whom Envoy talks to: the workers of the authorizer, the application, its own admin socket."""

from ipaddress import ip_address

from authz_service.core.rules import Policy
from authz_service.envoyconf.model import (
    ADMIN_CLUSTER,
    AUTHZ_CLUSTER,
    COLLECTOR_CLUSTER,
    METRICS_CLUSTER,
    UPSTREAM_CLUSTER,
    EnvoySettings,
    Json,
    Object,
    duration,
    typed,
)

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Far above what fits through: a full breaker would look like a broken authorizer.
_AUTHZ_MAXIMUM = 100_000
_UPSTREAM_MAXIMUM = 1_024
_UPSTREAM_IDLE_MS = 30_000  # shorter than the application's own, so that Envoy closes first
_KEEPALIVE: Object = {"interval": duration(10_000), "timeout": duration(2_000)}


def authz_cluster(settings: EnvoySettings) -> Object:
    """The workers, each on its Unix socket, watched closely: a dead one is left within a second."""
    return {
        "name": AUTHZ_CLUSTER,
        "type": "STATIC",
        "connect_timeout": duration(250),
        "lb_policy": "LEAST_REQUEST",
        "typed_extension_protocol_options": _http(
            explicit_http_config={"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}}
        ),
        "circuit_breakers": _at_most(_AUTHZ_MAXIMUM),
        "health_checks": [_grpc_health_check()],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 5,
            "interval": duration(1_000),
            "base_ejection_time": duration(2_000),
            "max_ejection_percent": 50,
        },
        "common_lb_config": {
            # Panic routing sends checks to workers that are known to be down.
            "healthy_panic_threshold": {"value": 0},
            # By default what is learned within a second of the last change waits for that second:
            # a worker that is back while another goes would not be asked until it is over.
            "update_merge_window": duration(0),
        },
        "load_assignment": _endpoints(AUTHZ_CLUSTER, *map(_worker, settings.authz_sockets)),
    }


def upstream_cluster(policy: Policy, settings: EnvoySettings) -> Object:
    """The application. No health check: while it drains it still has requests to finish."""
    host = settings.upstream_host or policy.upstream.host
    port = settings.upstream_port or policy.upstream.port
    return typed(
        _CLUSTER,
        name=UPSTREAM_CLUSTER,
        type=_discovery(host),
        connect_timeout=duration(1_000),
        typed_extension_protocol_options=_http(
            common_http_protocol_options={"idle_timeout": duration(_UPSTREAM_IDLE_MS)},
            explicit_http_config={"http_protocol_options": {}},
        ),
        circuit_breakers=_at_most(_UPSTREAM_MAXIMUM),
        load_assignment=_endpoints(UPSTREAM_CLUSTER, _socket(host, port)),
    )


def admin_cluster(settings: EnvoySettings) -> Object:
    """Envoy's admin interface, for the two questions that the scrape listener lets through."""
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": duration(250),
        "load_assignment": _endpoints(ADMIN_CLUSTER, _pipe(settings.admin_socket)),
    }


def metrics_cluster(settings: EnvoySettings) -> list[Object]:
    """Where the public `GET /metrics` of a local stack comes from, if it has one."""
    if settings.metrics_address is None:
        return []
    host, port = settings.metrics_address
    return [
        {
            "name": METRICS_CLUSTER,
            "type": _discovery(host),
            "connect_timeout": duration(250),
            "load_assignment": _endpoints(METRICS_CLUSTER, _socket(host, port)),
        }
    ]


def collector(host: str, port: int) -> Object:
    """Whom spans are sent to. What does not get through is dropped: nothing waits for it."""
    return {
        "name": COLLECTOR_CLUSTER,
        "type": _discovery(host),
        "connect_timeout": duration(250),
        "typed_extension_protocol_options": _http(
            explicit_http_config={"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}}
        ),
        "load_assignment": _endpoints(COLLECTOR_CLUSTER, _socket(host, port)),
    }


def _grpc_health_check() -> Object:
    return {
        "timeout": duration(500),
        "interval": duration(1_000),
        # The default, a minute, keeps workers that started after Envoy out for that long.
        "no_traffic_interval": duration(1_000),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": "envoy.service.auth.v3.Authorization"},
    }


def _at_most(maximum: int) -> Object:
    threshold: Json = {
        "priority": "DEFAULT",
        "max_connections": maximum,
        "max_pending_requests": maximum,
        "max_requests": maximum,
        "max_retries": maximum,
        "track_remaining": True,
    }
    return {"thresholds": [threshold]}


def _http(**fields: Json) -> Object:
    return {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, **fields)}


def _endpoints(cluster: str, *addresses: Object) -> Object:
    return {
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": it}} for it in addresses]}],
    }


def _socket(host: str, port: int) -> Object:
    return {"socket_address": {"address": host, "port_value": port}}


def _worker(place: str) -> Object:
    if place.startswith("/"):
        return _pipe(place)
    host, _, port = place.rpartition(":")
    return _socket(host, int(port))


def _pipe(path: str) -> Object:
    return {"pipe": {"path": path}}


def _discovery(host: str) -> str:
    """An address stands as it is, a name is resolved and followed."""
    try:
        ip_address(host)
    except ValueError:
        return "STRICT_DNS"
    return "STATIC"
