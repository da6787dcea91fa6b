"""One JSON line a finished request, in the form Cloud Logging reads. The record of decisions.

No query string, no credential, no header of the client's but the ids that were checked.
"""

from authz_service.envoyconf.ext_authz import FILTER as EXT_AUTHZ
from authz_service.envoyconf.model import EnvoySettings, Object, extension

# A client that goes away before the answer leaves no status behind; 499 is the custom for that.
STATUS_CODE = "(has(response.code) ? response.code : 499)"

_CLOUD_FIELD = "logging.googleapis.com/trace"
_SEVERITY = f"{STATUS_CODE} >= 500 ? 'ERROR' : {STATUS_CODE} >= 400 ? 'WARNING' : 'INFO'"
_CLOUD_TRACE = "request.headers['x-cloud-trace-context'].split('/')[0].split(';')[0].lowerAscii()"
_TRACEPARENT = "request.headers['traceparent'].split('-')[1].lowerAscii()"
_NO_TRACE = "0" * 32
# CEL has no way from a duration to a number but its text, "0.007449928s".
_DURATION_MS = "double(int(double(string(request.duration).split('s')[0]) * 10000.0 + 0.5)) / 10.0"
# An aborted request has no response to read the id from, a malformed one no request.
_REQUEST_ID = (
    '%COALESCE({"operators":[{"command":"RESP","param":"X-REQUEST-ID"},'
    '{"command":"REQ","param":"X-REQUEST-ID"}]})%'
)


def access_log(settings: EnvoySettings) -> Object:
    """The file logger. The loggers of `stats` also run when a request starts; this one does not."""
    logger = extension(
        "access_log",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=settings.access_log_path,
        log_format={
            "formatters": [_cel()],
            "json_format": {**_request(), **_trace(settings), **_decision(), **_timing()},
            "omit_empty_values": True,
        },
    )
    return {"filter": {"log_type_filter": {"types": ["DownstreamEnd"]}}, **logger}


def _cel() -> Object:
    return extension(
        "envoy.formatter.cel",
        "envoy.extensions.formatter.cel.v3.Cel",
        cel_config={
            "enable_string_concat": True,
            "enable_string_functions": True,
            "enable_string_conversion": True,
        },
    )


def _request() -> Object:
    return {
        "timestamp": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "severity": f"%CEL({_SEVERITY})%",
        "message": "Request completed",
        "request_id": _REQUEST_ID,
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "route": "%ROUTE_NAME%",
        "status_code": f"%TYPED_CEL({STATUS_CODE})%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
    }


def _trace(settings: EnvoySettings) -> Object:
    """The trace of the line: `X-Cloud-Trace-Context`, else W3C's. Its id is in lower case.

    Where requests are traced, the headers name the trace that the spans are in (`tracing`); only
    what was refused before it had a span still has the client's. `%TRACE_ID%` would do for the id,
    and leave a name without one where there is none.
    """
    fields = {}
    if settings.collector is not None:
        fields["trace_id"] = _told("")
    if settings.google_cloud_project is not None:
        fields[_CLOUD_FIELD] = _told(f"projects/{settings.google_cloud_project}/traces/")
    return fields


def _told(prefix: str) -> str:
    """The trace's id after a prefix; no field without a trace."""
    return (
        f"%TYPED_CEL({_is_trace('x-cloud-trace-context', _CLOUD_TRACE)}"
        f" ? '{prefix}' + {_CLOUD_TRACE}"
        f" : {_is_trace('traceparent', _TRACEPARENT)} ? '{prefix}' + {_TRACEPARENT} : null)%"
    )


def _is_trace(header: str, trace: str) -> str:
    """An expression: whether a client sent 32 hexadecimal digits that are not all zero.

    Their number is compared apart: a repeat with a bound exceeds Envoy's limit for the size of a
    regular expression.
    """
    return (
        f"('{header}' in request.headers && size({trace}) == 32"
        f" && {trace}.matches('^[0-9a-f]+$') && {trace} != '{_NO_TRACE}')"
    )


def _decision() -> Object:
    """What the authorizer said, as it said it; absent on requests it was not asked about."""
    names = ("subject", "tier", "key_id", "reason", "shadow_reason", "scope", "decision_id")
    return {name: f"%DYNAMIC_METADATA({EXT_AUTHZ}:{name})%" for name in names}


def _timing() -> Object:
    """`_ms` in milliseconds with one decimal, `_us` in microseconds; all of them JSON numbers."""
    return {
        "duration_ms": f"%TYPED_CEL({_DURATION_MS})%",
        "authz_us": f"%TYPED_CEL(int(filter_state['{EXT_AUTHZ}'].latency_us))%",
        "upstream_us": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%",
    }
