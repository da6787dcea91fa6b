"""The routes: the policy's in its order, then 405 for their paths, then 404."""

import re

from authz_service.core.match import is_template, template_pattern
from authz_service.core.rules import Authentication, Policy, Route
from authz_service.envoyconf import ext_authz
from authz_service.envoyconf.body_limit import no_body_limit
from authz_service.envoyconf.cors import cors_policy
from authz_service.envoyconf.model import (
    METRICS_CLUSTER,
    ROUTE_CONFIGURATION,
    UPSTREAM_CLUSTER,
    EnvoySettings,
    Json,
    Object,
    duration,
    typed,
)
from authz_service.envoyconf.paths import allowed_methods, endpoint
from authz_service.envoyconf.rate_limit import descriptors
from authz_service.envoyconf.stats import NO_ENDPOINT, endpoint_label

_RETRIES = 2
# The authorizer removes them too. This also covers the routes that it is not asked about.
_WITHOUT_CREDENTIALS: Object = {"request_headers_to_remove": ["x-api-key", "authorization"]}
_REQUESTED_METHOD = "access-control-request-method"  # with an origin, it makes a preflight


def route_configuration(policy: Policy, settings: EnvoySettings) -> Object:
    """What the listener follows under the name `public`."""
    host: Json = {
        "name": "all",
        "domains": ["*"],
        "typed_per_filter_config": cors_policy(policy),
        "routes": [
            *(_served(policy, route, path) for route in policy.routes for path in route.paths),
            *_local_metrics(settings),
            *_preflights(policy),
            *(
                _method_not_allowed(policy, path, methods)
                for path, methods in allowed_methods(policy).items()
            ),
            _not_found(),
        ],
    }
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        name=ROUTE_CONFIGURATION,
        virtual_hosts=[host],
    )


def _served(policy: Policy, route: Route, path: str) -> Object:
    return {
        "name": route.name,
        "match": {**_path(path), "headers": [_method(route.methods)]},
        "route": {
            "cluster": UPSTREAM_CLUSTER,
            "timeout": duration(policy.upstream.timeout_ms),
            # Only what the application certainly never saw: an upload is not sent twice.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream",
                "num_retries": _RETRIES,
            },
            **descriptors(route),
        },
        "metadata": endpoint_label(path),
        "typed_per_filter_config": _filters(route),
        # In shadow the application goes on judging credentials itself.
        **({} if route.shadow else _WITHOUT_CREDENTIALS),
    }


def _filters(route: Route) -> Object:
    if route.shadow:
        return {**_authorization(route), **no_body_limit()}
    return _authorization(route)


def _authorization(route: Route) -> Object:
    if route.authentication is Authentication.NONE:
        return ext_authz.not_asked()
    return ext_authz.asked_as(route.name)


def _local_metrics(settings: EnvoySettings) -> list[Json]:
    if settings.metrics_address is None:
        return []
    return [
        {
            "name": "metrics",
            "match": {"path": "/metrics", "headers": [_method(("GET",))]},
            "route": {"cluster": METRICS_CLUSTER},
            **_WITHOUT_CREDENTIALS,
            "metadata": endpoint_label("/metrics"),
            "typed_per_filter_config": ext_authz.not_asked(),
        }
    ]


def _preflights(policy: Policy) -> list[Json]:
    """Where the CORS filter answers. It does not speak on routes that Envoy answers itself.

    If it ever let one through, the authorizer would see a request that belongs to no route.
    """
    if not policy.cors_origins:
        return []
    headers = [_method(("OPTIONS",)), _not_empty("origin"), _not_empty(_REQUESTED_METHOD)]
    return [
        {
            "name": "preflight",
            "match": {"prefix": "/", "headers": headers},
            "route": {"cluster": UPSTREAM_CLUSTER},
            "metadata": endpoint_label(NO_ENDPOINT),
            "typed_per_filter_config": ext_authz.asked_as("preflight"),
            **_WITHOUT_CREDENTIALS,
        }
    ]


def _method_not_allowed(policy: Policy, path: str, methods: tuple[str, ...]) -> Object:
    header: Json = {"key": "allow", "value": ", ".join(methods)}
    return {
        "name": "method_not_allowed",
        "match": _path(path),
        "direct_response": {"status": 405},
        "response_headers_to_add": [
            {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
        "metadata": endpoint_label(endpoint(policy, path)),
        "typed_per_filter_config": ext_authz.not_asked(),
    }


def _not_found() -> Object:
    """Without a route of its own an unknown path would be a question to the authorizer."""
    return {
        "name": "not_found",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "metadata": endpoint_label(NO_ENDPOINT),
        "typed_per_filter_config": ext_authz.not_asked(),
    }


def _path(path: str) -> Object:
    """Exactly what `core.match` matches, query left out on both sides."""
    if is_template(path):
        return {"safe_regex": {"regex": template_pattern(path)}}
    return {"path": path}


def _method(methods: tuple[str, ...]) -> Object:
    if len(methods) == 1:
        return {"name": ":method", "string_match": {"exact": methods[0]}}
    either = "|".join(map(re.escape, methods))
    return {"name": ":method", "string_match": {"safe_regex": {"regex": either}}}


def _not_empty(header: str) -> Object:
    return {"name": header, "string_match": {"safe_regex": {"regex": ".+"}}}
