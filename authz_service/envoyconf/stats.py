"""The request series that Envoy counts, its own answers included.

They come out as `envoy_PREFIX_http_requests_total{method,endpoint,status_code}`,
`envoy_PREFIX_http_request_duration{method,endpoint}` in milliseconds, and the gauge
`envoy_PREFIX_http_requests_in_progress{method,endpoint}`.
"""

from collections.abc import Sequence

from authz_service.core.rules import Policy
from authz_service.envoyconf.access_log import STATUS_CODE
from authz_service.envoyconf.model import Json, Object, extension

_NAMESPACE = "authz_service"
_LOGGER = "envoy.extensions.access_loggers.stats.v3.Config"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_STATUS_CODES = 60  # more than one route ever answers with
_BUCKETS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)

NO_ENDPOINT = "other"  # what has no route, or the one that answers 404

METHOD = (
    f"%CEL(has(request.method) && request.method in {list(_METHODS)!r} ? request.method : 'OTHER')%"
)
# The expression is evaluated only for what has no route: on every request it would cost Envoy
# an eighth of its time.
ENDPOINT = (
    f'%COALESCE({{"operators":[{{"command":"METADATA","param":"ROUTE:{_NAMESPACE}:endpoint"}},'
    f'{{"command":"CEL","param":"\'{NO_ENDPOINT}\'"}}]}})%'
)


def endpoint_label(path: str) -> Object:
    """The metadata of a route: the value of its `endpoint` label. Every route needs one."""
    return {"filter_metadata": {_NAMESPACE: {"endpoint": path}}}


def histogram_buckets(policy: Policy) -> Object:
    """In milliseconds: Envoy exports the unit it measures in."""
    # Labels are appended to a histogram's inner name, so only its beginning can be matched.
    prefix = f"{policy.metrics_prefix}.http_request_duration."
    return {"match": {"prefix": prefix}, "buckets": list(_BUCKETS_MS)}


def stats_loggers(policy: Policy) -> Sequence[Object]:
    """One logger that counts finished requests, one that counts those under way."""
    return (_finished(policy), _in_progress(policy))


def _finished(policy: Policy) -> Object:
    counter = _stat("http_requests_total", status_code=f"%CEL({STATUS_CODE})%")
    timer = _stat("http_request_duration")
    logger = extension(
        "finished",
        _LOGGER,
        stats_scope=_scope(policy),
        counters=[{"stat": counter, "value_fixed": 1}],
        histograms=[{"stat": timer, "unit": "Milliseconds", "value_format": "%DURATION%"}],
    )
    return {"filter": {"log_type_filter": {"types": ["DownstreamEnd"]}}, **logger}


def _in_progress(policy: Policy) -> Object:
    gauge: Json = {
        "stat": _stat("http_requests_in_progress"),
        "value_fixed": 1,
        "add_subtract": {"add_log_type": "DownstreamStart", "sub_log_type": "DownstreamEnd"},
    }
    logger = extension("in_progress", _LOGGER, stats_scope=_scope(policy), gauges=[gauge])
    # What is refused before it has a route ends without having started: Envoy would complain.
    has_route = extension(
        "has_route",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression="has(xds.route_metadata)",
    )
    return {"filter": {"extension_filter": has_route}, **logger}


def _stat(name: str, **labels: str) -> Object:
    values = {"method": METHOD, "endpoint": ENDPOINT, **labels}
    tags: Json = [{"name": label, "value_format": value} for label, value in values.items()]
    return {"name": name, "tags": tags}


def _scope(policy: Policy) -> Object:
    """Bounded on purpose, above what can occur: beyond its bound a series is lost silently."""
    paths = sum(len(route.paths) for route in policy.routes) + 2
    series = 2 * paths * (len(_METHODS) + 1)
    return {
        "prefix": policy.metrics_prefix,
        "max_counters": series * _STATUS_CODES,
        "max_histograms": series,
        "max_gauges": series,
    }
