"""`ShouldRateLimit`'s answer as Envoy reads it, and back: the second way is the test client's."""

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf import json_format

from authz_service.core.descriptors import (
    UNLIMITED_REMAINING,
    DescriptorLimit,
    RateLimitResponse,
    Status,
    Unit,
)
from authz_service.core.limit_headers import seconds
from authz_service.core.over_limit import over_limit_body, retry_headers
from authz_service.wire.pb import ratelimit_pb2 as pb

_OK: Final = pb.RateLimitResponse.OK
_OVER_LIMIT: Final = pb.RateLimitResponse.OVER_LIMIT
_UNITS: Final[Mapping[int, Unit]] = {unit.number: unit for unit in Unit}


def encode_rate_limit_response(
    response: RateLimitResponse, *, request_id: str
) -> pb.RateLimitResponse:
    """The message Envoy acts on.

    Every refusal says when to come back. It has a body of ours only for the Envoy that told the id
    of the request: other clients of this service have bodies of their own.
    """
    message = pb.RateLimitResponse(overall_code=_code(over=response.over))
    for status in response.statuses:
        _add_status(message, status)
    _add_headers(message, response.headers)
    _add_headers(message, retry_headers(response))
    if response.over and request_id:
        _add_headers(message, (("content-type", "application/json"),))
        message.raw_body = over_limit_body(response, request_id=request_id).encode()
    if response.metadata is not None:
        json_format.ParseDict(dict(response.metadata), message.dynamic_metadata)
    return message


def decode_rate_limit_response(message: pb.RateLimitResponse) -> RateLimitResponse:
    """The answer of any such service. What it does not tell is as if it were not so."""
    return RateLimitResponse(
        over=message.overall_code == _OVER_LIMIT,
        statuses=tuple(map(_status, message.statuses)),
        headers=tuple((it.key, it.value) for it in message.response_headers_to_add),
    )


def rate_limit_response_as_json(message: pb.RateLimitResponse) -> str:
    """The same in protobuf's JSON form."""
    return json_format.MessageToJson(message)


def _code(*, over: bool) -> pb.RateLimitResponse.Code:
    return _OVER_LIMIT if over else _OK


def _add_status(message: pb.RateLimitResponse, status: Status) -> None:
    added = message.statuses.add(code=_code(over=status.over), limit_remaining=status.remaining)
    limit = status.limit
    if limit is None or limit.unit is None:
        return
    added.current_limit.MergeFrom(
        pb.RateLimitResponse.RateLimit(
            name=limit.name, requests_per_unit=limit.requests_per_unit, unit=limit.unit.name
        )
    )
    if status.reset_ms is not None:
        added.duration_until_reset.seconds = seconds(status.reset_ms)


def _add_headers(message: pb.RateLimitResponse, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        message.response_headers_to_add.add(key=name, value=value)


def _status(message: pb.RateLimitResponse.DescriptorStatus) -> Status:
    has_reset = message.HasField("duration_until_reset")
    return Status(
        over=message.code == _OVER_LIMIT,
        limit=_limit(message),
        remaining=message.limit_remaining,
        reset_ms=message.duration_until_reset.ToMilliseconds() if has_reset else None,
    )


def _limit(message: pb.RateLimitResponse.DescriptorStatus) -> DescriptorLimit | None:
    if not message.HasField("current_limit"):
        is_unlimited = message.limit_remaining == UNLIMITED_REMAINING
        return DescriptorLimit(unit=None) if is_unlimited else None
    told = message.current_limit
    return DescriptorLimit(
        requests_per_unit=told.requests_per_unit, unit=_UNITS.get(told.unit), name=told.name
    )
