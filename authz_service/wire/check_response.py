"""Our answer to Envoy's CheckResponse."""

from collections.abc import Mapping
from typing import TypeAlias, assert_never

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from authz_service.core.limit_headers import Headers
from authz_service.core.respond import Answer, Pass, Refuse
from authz_service.wire.pb.ext_authz_pb2 import CheckResponse, HeaderValueOption

# google.rpc.Code. Envoy only asks whether it is OK; the rest is for people who read traces.
_OK, _PERMISSION_DENIED, _RESOURCE_EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED = 0, 7, 8, 14, 16
_CODES = {
    401: _UNAUTHENTICATED,
    403: _PERMISSION_DENIED,
    429: _RESOURCE_EXHAUSTED,
    503: _UNAVAILABLE,
}
_Options: TypeAlias = RepeatedCompositeFieldContainer[HeaderValueOption]
_OVERWRITE = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


def encode_check_response(answer: Answer) -> CheckResponse:
    """The message Envoy acts on. Every header replaces what was there: nothing is appended to."""
    match answer:
        case Pass():
            response = _ok(answer)
        case Refuse():
            response = _denied(answer)
        case _:
            assert_never(answer)
    _add_metadata(response, answer.metadata)
    return response


def _ok(answer: Pass) -> CheckResponse:
    response = CheckResponse()
    response.status.code = _OK
    ok = response.ok_response
    _set_headers(ok.headers, answer.upstream_headers)
    _set_headers(ok.response_headers_to_add, answer.response_headers)
    ok.headers_to_remove.extend(answer.upstream_removed)
    return response


def _denied(answer: Refuse) -> CheckResponse:
    response = CheckResponse()
    response.status.code = _CODES[answer.status]
    denied = response.denied_response
    denied.status.code = answer.status
    denied.body = answer.body
    _set_headers(denied.headers, answer.headers)
    return response


def _set_headers(options: _Options, headers: Headers) -> None:
    """Add one option a header. The hottest loop of a check: plain assignments are the cheapest."""
    add = options.add
    for name, value in headers:
        option = add()
        option.append_action = _OVERWRITE
        header = option.header
        header.key = name
        header.value = value


def _add_metadata(response: CheckResponse, metadata: Mapping[str, str]) -> None:
    fields = response.dynamic_metadata.fields
    for name, value in metadata.items():
        fields[name].string_value = value
