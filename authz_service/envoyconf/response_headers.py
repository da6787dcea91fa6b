"""What every response carries: how long it took, and that it depends on the origin."""

from authz_service.core.rules import Policy
from authz_service.envoyconf.model import Json, Object, extension
from authz_service.envoyconf.request_id import overwrite

_STARTED, _NOW, _TOOK = "x-rt-started", "x-rt-now", "x-rt-took"
_MICROSECONDS = f"int(response.headers['{_TOOK}'])"


def response_headers(policy: Policy) -> Object:
    """The filter that writes them. As the first in the chain it is the last to see a response."""
    mutations = [*_response_time(), *_vary(policy)]
    return extension(
        "response_headers",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": mutations},
    )


def _response_time() -> list[Json]:
    """`X-Response-Time: 245.50ms`, up to the response's headers.

    `%DURATION%` knows whole milliseconds only, and the other timers are not yet set when an answer
    of Envoy's own is written: so the difference of two wall clock readings it is.
    """
    formatted = (
        f"%CEL({_MICROSECONDS} / 1000)%"
        f".%CEL({_MICROSECONDS} % 1000 / 100)%%CEL({_MICROSECONDS} % 100 / 10)%ms"
    )
    difference = f"int(response.headers['{_NOW}']) - int(response.headers['{_STARTED}'])"
    return [
        {"append": overwrite(_STARTED, "%START_TIME(%s%6f)%")},
        {"append": overwrite(_NOW, "%EMIT_TIME(%s%6f)%")},
        {"append": overwrite(_TOOK, f"%CEL({difference})%")},
        {"append": overwrite("x-response-time", formatted)},
        {"remove": _STARTED},
        {"remove": _NOW},
        {"remove": _TOOK},
    ]


def _vary(policy: Policy) -> list[Json]:
    """Envoy's CORS filter does not tell caches that its headers differ by origin."""
    if not policy.cors_origins:
        return []
    return [
        {
            "append": {
                "header": {"key": "vary", "value": "Origin"},
                "append_action": "APPEND_IF_EXISTS_OR_ADD",
            }
        }
    ]
