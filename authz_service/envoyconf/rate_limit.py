"""The limits over all callers: Envoy asks for them after it knows who is calling.

A route names its limits, and the workers know by the policy what they are. Nothing of the request
goes along but its id: these limits belong to nobody in particular.
"""

from authz_service.core.global_limits import DESCRIPTOR_KEY, DOMAIN, ONCE, REQUEST_ID
from authz_service.core.rules import Policy, Route
from authz_service.envoyconf.asking import TIMEOUT_MS, grpc_service
from authz_service.envoyconf.model import Json, Object, duration, extension

FILTER = "envoy.filters.http.ratelimit"
LIMITED = "request_rate_limited"  # what Envoy gives as the reason of a refusal of this filter


def rate_limit(policy: Policy) -> list[Json]:
    """The filter; none where no route has such a limit.

    Every failure to get an answer is a 503: what a limit says about an absent store is decided in
    the workers, and an absent worker has let nobody through before this filter either.
    """
    if not any(map(limits_all, policy.routes)):
        return []
    return [
        extension(
            FILTER,
            "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
            domain=DOMAIN,
            timeout=duration(TIMEOUT_MS),  # the one of the gRPC service is not looked at here
            failure_mode_deny=True,
            status_on_error={"code": "ServiceUnavailable"},
            rate_limited_status={"code": "TooManyRequests"},
            # The authorizer owns X-RateLimit-*, which speak of the caller's own limits.
            enable_x_ratelimit_headers="OFF",
            disable_x_envoy_ratelimited_header=True,
            rate_limit_service={
                "transport_api_version": "V3",
                "grpc_service": grpc_service(initial_metadata=_metadata()),
            },
        )
    ]


def limits_all(route: Route) -> bool:
    """Whether Envoy asks for a route's limits over all callers. In shadow nothing may refuse."""
    return bool(route.global_limits) and not route.shadow


def descriptors(route: Route) -> Object:
    """What a route's own settings say of it: one descriptor a limit, each by the limit's name."""
    if not limits_all(route):
        return {}
    return {"rate_limits": [_descriptor(limit.name) for limit in route.global_limits]}


def _descriptor(name: str) -> Object:
    key: Json = {"descriptor_key": DESCRIPTOR_KEY, "descriptor_value": name}
    return {"actions": [{"generic_key": key}]}


def _metadata() -> list[Json]:
    """What the message has no place for.

    The body of a refusal needs the id of the request. Under the other one a question is counted
    once, however often it is sent: the same on every try, and no client can choose it.
    """
    return [
        {"key": REQUEST_ID, "value": "%REQ(X-REQUEST-ID)%"},
        {"key": ONCE, "value": "%UNIQUE_ID%"},
    ]
