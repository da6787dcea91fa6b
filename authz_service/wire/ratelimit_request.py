"""`ShouldRateLimit`'s question as plain values, and back: the second way is the test client's."""

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf import json_format

from authz_service.core.descriptors import Descriptor, Entry, Override, RateLimitRequest, Unit
from authz_service.core.global_limits import ONCE, REQUEST_ID
from authz_service.core.request_id import is_sane
from authz_service.core.resolve import Unanswerable
from authz_service.errors import TooLargeError, UnanswerableError
from authz_service.wire.pb import ratelimit_pb2 as pb

Metadata = Iterable[tuple[str, str | bytes]]

MAX_DESCRIPTORS: Final = 256
MAX_ENTRIES: Final = 64
"""Of one descriptor. A question of more would hold up the worker, and the store, for everybody."""

MAX_HITS: Final = (1 << 32) - 1
"""Of one descriptor, as of a whole request: more than that no counter of metrics can tell apart."""

_UNITS: Final[Mapping[int, Unit]] = {unit.number: unit for unit in Unit}


def decode_rate_limit_request(message: pb.RateLimitRequest) -> RateLimitRequest:
    """The question. Keys and values are taken as they are: matching decides what they mean.

    Raises:
        UnanswerableError: it has no domain or no descriptor, in the words of envoyproxy/ratelimit.
        TooLargeError: it has more parts, or hits, than are looked at. The text says which.
        ValueError: it asks for what nobody can count. The text says what and where.
    """
    if not message.domain:
        raise UnanswerableError(Unanswerable.NO_DOMAIN.value)
    if not message.descriptors:
        raise UnanswerableError(Unanswerable.NO_DESCRIPTORS.value)
    if len(message.descriptors) > MAX_DESCRIPTORS:
        raise TooLargeError(f"descriptors: more than {MAX_DESCRIPTORS}")
    return RateLimitRequest(
        domain=message.domain,
        descriptors=tuple(
            _descriptor(descriptor, place) for place, descriptor in enumerate(message.descriptors)
        ),
        hits_addend=message.hits_addend,
    )


def encode_rate_limit_request(request: RateLimitRequest) -> pb.RateLimitRequest:
    """The message of a question."""
    message = pb.RateLimitRequest(domain=request.domain, hits_addend=request.hits_addend)
    for descriptor in request.descriptors:
        added = message.descriptors.add()
        for entry in descriptor.entries:
            added.entries.add(key=entry.key, value=entry.value)
        if descriptor.override is not None:
            added.limit.MergeFrom(_limit(descriptor.override))
        if descriptor.hits_addend is not None:
            added.hits_addend.value = descriptor.hits_addend
    return message


def rate_limit_request_from_json(text: bytes) -> pb.RateLimitRequest:
    """The message that is written in protobuf's JSON form.

    Raises:
        ValueError: none is. The text repeats nothing of it.
    """
    message = pb.RateLimitRequest()
    try:
        json_format.Parse(text, message)
    except (json_format.ParseError, UnicodeDecodeError):
        raise ValueError("it is no RateLimitRequest in JSON") from None
    return message


def request_id_of(metadata: Metadata) -> str:
    """The id of the request that a question is about, of a call's metadata; empty without one.

    An id that could not come from our Envoy is none: whoever sent it expects no answer of ours.
    """
    return _id(metadata, REQUEST_ID)


def once_of(metadata: Metadata) -> str | None:
    """What tells a question that is sent again from another one, if Envoy told it."""
    return _id(metadata, ONCE) or None


def _id(metadata: Metadata, wanted: str) -> str:
    for name, value in metadata:
        if name == wanted and isinstance(value, str) and is_sane(value):
            return value
    return ""


def _limit(override: Override) -> pb.RateLimitDescriptor.RateLimitOverride:
    return pb.RateLimitDescriptor.RateLimitOverride(
        requests_per_unit=override.requests_per_unit,
        unit=override.unit.name if override.unit else "UNKNOWN",
    )


def _descriptor(message: pb.RateLimitDescriptor, place: int) -> Descriptor:
    if len(message.entries) > MAX_ENTRIES:
        raise TooLargeError(f"descriptors[{place}].entries: more than {MAX_ENTRIES}")
    if message.is_negative_hits:
        raise ValueError(f"descriptors[{place}].is_negative_hits: hits cannot be given back")
    if message.hits_addend.value > MAX_HITS:
        raise TooLargeError(f"descriptors[{place}].hits_addend: more than {MAX_HITS}")
    return Descriptor(
        entries=tuple(Entry(entry.key, entry.value) for entry in message.entries),
        override=_override(message, place),
        hits_addend=message.hits_addend.value if message.HasField("hits_addend") else None,
    )


def _override(message: pb.RateLimitDescriptor, place: int) -> Override | None:
    if not message.HasField("limit"):
        return None
    limit = message.limit
    unit = _UNITS.get(limit.unit)
    if unit is None:
        raise ValueError(f"descriptors[{place}].limit.unit: {limit.unit} is no unit of time")
    return Override(requests_per_unit=limit.requests_per_unit, unit=unit)
