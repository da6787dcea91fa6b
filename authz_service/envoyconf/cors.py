"""Which web pages may call, and what their scripts may send and read."""

from authz_service.core.rules import Policy
from authz_service.envoyconf.model import Object, extension, typed

FILTER = "envoy.filters.http.cors"

# Always allowed by the Fetch standard, so named whatever the policy says.
_SAFE_METHODS = ("GET", "HEAD", "POST")
_REQUEST_HEADERS = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "X-Request-ID",
    "Prefer",
    "Idempotency-Key",
    "Range",
    "If-None-Match",
)
_EXPOSED_HEADERS = (
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
    "X-Response-Time",
    "ETag",
    "Content-Location",
    "Preference-Applied",
    "X-RateLimit-Scope",
    "WWW-Authenticate",
    "Allow",
    "Content-Range",
    "Accept-Ranges",
)
_PREFLIGHT_SECONDS = 600


def cors_filter() -> Object:
    """Stands before the authorizer: a preflight carries no credential."""
    return extension(FILTER, "envoy.extensions.filters.http.cors.v3.Cors")


def cors_policy(policy: Policy) -> Object:
    """The exact origins that may call; none: no policy at all, and a preflight is a 405."""
    if not policy.cors_origins:
        return {}
    return {
        FILTER: typed(
            "envoy.extensions.filters.http.cors.v3.CorsPolicy",
            allow_origin_string_match=[{"exact": origin} for origin in policy.cors_origins],
            allow_methods=", ".join(_methods(policy)),
            allow_headers=", ".join(_REQUEST_HEADERS),
            expose_headers=", ".join(_EXPOSED_HEADERS),
            max_age=str(_PREFLIGHT_SECONDS),
            allow_credentials=False,
            # A preflight from elsewhere would otherwise go on to the authorizer.
            forward_not_matching_preflights=False,
        )
    }


def _methods(policy: Policy) -> list[str]:
    """Every method of the policy, in its order."""
    used = (method for route in policy.routes for method in route.methods)
    return list(dict.fromkeys((*_SAFE_METHODS, *used, "OPTIONS")))
