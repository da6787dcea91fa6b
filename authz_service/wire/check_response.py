"""Our answer to Envoy's CheckResponse."""

from collections.abc import Mapping
from typing import assert_never

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
    for name, value in answer.upstream_headers:
        option = ok.headers.add(append_action=_OVERWRITE)
        option.header.key, option.header.value = name, value
    for name, value in answer.response_headers:
        option = ok.response_headers_to_add.add(append_action=_OVERWRITE)
        option.header.key, option.header.value = name, value
    ok.headers_to_remove.extend(answer.upstream_removed)
    return response


def _denied(answer: Refuse) -> CheckResponse:
    response = CheckResponse()
    response.status.code = _CODES[answer.status]
    denied = response.denied_response
    denied.status.code = answer.status
    denied.body = answer.body
    for name, value in answer.headers:
        option = denied.headers.add(append_action=_OVERWRITE)
        option.header.key, option.header.value = name, value
    return response


def _add_metadata(response: CheckResponse, metadata: Mapping[str, str]) -> None:
    fields = response.dynamic_metadata.fields
    for name, value in metadata.items():
        fields[name].string_value = value
