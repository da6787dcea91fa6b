"""The scrape listener: `GET /metrics` and `GET /ready` of the admin interface, and nothing more."""

from authz_service.envoyconf.model import (
    ADMIN_CLUSTER,
    SCRAPE_LISTENER,
    EnvoySettings,
    Json,
    Object,
    extension,
)

_CONNECTION_MANAGER = (
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def scrape_listener(settings: EnvoySettings) -> Object:
    """Answers under overload too: that is when somebody looks."""
    return {
        "name": SCRAPE_LISTENER,
        "address": {
            "socket_address": {"address": settings.scrape_host, "port_value": settings.scrape_port}
        },
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [{"filters": [_connection_manager()]}],
    }


def _connection_manager() -> Object:
    return extension(
        "envoy.filters.network.http_connection_manager",
        _CONNECTION_MANAGER,
        stat_prefix=SCRAPE_LISTENER,
        http_filters=[
            extension(
                "envoy.filters.http.router",
                "envoy.extensions.filters.http.router.v3.Router",
            )
        ],
        route_config={"virtual_hosts": [_virtual_host()]},
    )


def _virtual_host() -> Json:
    return {
        "name": "admin",
        "domains": ["*"],
        "routes": [_admin("/metrics", "/stats/prometheus"), _admin("/ready", "/ready")],
    }


def _admin(path: str, admin_path: str) -> Json:
    """A route for `path` alone: a query would be passed on, and steer the admin endpoint."""
    exactly = [_header(":method", "GET"), _header(":path", path)]
    return {
        "match": {"path": path, "headers": exactly},
        "route": {"cluster": ADMIN_CLUSTER, "prefix_rewrite": admin_path},
    }


def _header(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}
