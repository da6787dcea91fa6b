"""The JSON bodies of the answers that Envoy makes itself. The authorizer's pass untouched."""

from collections.abc import Mapping

from authz_service.core.rules import Policy, Tier
from authz_service.envoyconf.ext_authz import FILTER as EXT_AUTHZ
from authz_service.envoyconf.model import Json, Object, extension
from authz_service.envoyconf.rate_limit import LIMITED
from authz_service.envoyconf.request_id import reply_header

_TOO_LARGE = 413
_UNAVAILABLE = 503
_RETRY_SECONDS = 1

ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("BAD_REQUEST", "The request is malformed."),
    403: ("FORBIDDEN", "This request is not allowed."),
    404: ("NOT_FOUND", "There is nothing at this path."),
    405: ("METHOD_NOT_ALLOWED", "This method is not allowed here."),
    408: ("REQUEST_TIMEOUT", "The request did not arrive in time."),
    413: ("PAYLOAD_TOO_LARGE", "File too large"),
    426: ("UPGRADE_REQUIRED", "Use HTTP/1.1 or HTTP/2."),
    429: ("RATE_LIMIT_EXCEEDED", "Rate limit exceeded. Please try again later."),
    431: ("HEADERS_TOO_LARGE", "The request headers are too large."),
    500: ("INTERNAL_ERROR", "The request could not be handled."),
    501: ("NOT_IMPLEMENTED", "The request asks for something that is not supported."),
    502: ("BAD_GATEWAY", "The service gave an invalid answer."),
    503: ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable."),
    504: ("GATEWAY_TIMEOUT", "The service did not answer in time."),
}


def local_replies(policy: Policy) -> Object:
    """The first mapper whose filter matches decides; the last two catch what has no own line."""
    return {
        "mappers": [
            _pass_denials(),
            *(_too_large(tier) for tier in policy.tiers.values()),
            *(_error(_status("EQ", status), status) for status in ERRORS),
            _error(_status("GE", 500), 500),
            _error(_status("GE", 400), 400),
        ]
    }


def _pass_denials() -> Object:
    denied = extension(
        "denied",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=f"response.code_details in ['ext_authz_denied', '{LIMITED}']",
    )
    return {
        "filter": {"extension_filter": denied},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
        "headers_to_add": [reply_header()],
    }


def _too_large(tier: Tier) -> Object:
    """A number that a formatter prints becomes a JSON string: so each tier has its own mapper."""
    of_tier: Json = {
        "metadata_filter": {
            "matcher": {
                "filter": EXT_AUTHZ,
                "path": [{"key": "tier"}],
                "value": {"string_match": {"exact": tier.name}},
            },
            "match_if_key_not_found": False,
        }
    }
    both: Json = {"and_filter": {"filters": [_status("EQ", _TOO_LARGE), of_tier]}}
    return _error(both, _TOO_LARGE, {"tier": tier.name, "max_file_bytes": tier.max_upload_bytes})


def _status(operator: str, status: int) -> Object:
    # Envoy insists on a runtime key, by which an operator could move the status; nothing sets it.
    value: Json = {"default_value": status, "runtime_key": "unused"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _error(matches: Json, status: int, details: Object | None = None) -> Object:
    code, message = ERRORS[status]
    error: dict[str, Json] = {
        "code": code,
        "message": message,
        "request_id": "%RESP(X-REQUEST-ID)%",
    }
    if details is not None:
        error["details"] = details
    return {
        "filter": matches,
        "body_format_override": {
            "json_format": {"error": error},
            "content_type": "application/json",
        },
        "headers_to_add": [reply_header(), *_retry_after(status)],
    }


def _retry_after(status: int) -> list[Json]:
    if status != _UNAVAILABLE:
        return []
    header: Json = {"key": "retry-after", "value": str(_RETRY_SECONDS)}
    return [{"header": header, "append_action": "ADD_IF_ABSENT"}]
