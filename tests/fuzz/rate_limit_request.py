"""Any bytes are a rate limit request as plain values, a refusal in words, or no message at all.

Run it with `python -m tests.fuzz.rate_limit_request FOLDER`.
"""

from google.protobuf.message import DecodeError

from authz_service.core.descriptors import Descriptor, Entry, Override, Unit
from authz_service.core.descriptors import RateLimitRequest as Question
from authz_service.errors import UnanswerableError
from authz_service.wire.ratelimit_request import (
    decode_rate_limit_request,
    encode_rate_limit_request,
)
from authz_service.wire.services import RateLimitRequest
from tests.fuzz.guided import fuzz

_ENTRIES = (Entry("key", "value"), Entry("", "v"))
_DESCRIPTORS = (
    Descriptor(entries=_ENTRIES, hits_addend=0),
    Descriptor(entries=(), override=Override(requests_per_unit=7, unit=Unit.WEEK), hits_addend=9),
)


def _message(question: Question) -> bytes:
    return encode_rate_limit_request(question).SerializeToString()


SEEDS = (
    b"",
    _message(Question(domain="d", descriptors=())),
    _message(Question(domain="", descriptors=_DESCRIPTORS)),
    _message(Question(domain="d", descriptors=_DESCRIPTORS, hits_addend=3)),
    b"\n\x01d\x12\x04\x12\x02\x10\x08",  # a unit that is none
    b"\n\x01d\x12\x02 \x01",  # hits to give back
)


def target(data: bytes) -> None:
    """The bytes of a RateLimitRequest."""
    try:
        message = RateLimitRequest.FromString(data)
    except DecodeError:
        return
    question = _read(message)
    if isinstance(question, str):
        assert question
        return
    assert question.domain
    assert question.descriptors
    assert _read(encode_rate_limit_request(question)) == question


def _read(message: RateLimitRequest) -> Question | str:
    try:
        return decode_rate_limit_request(message)
    except (UnanswerableError, ValueError) as error:
        return str(error)


def main() -> None:
    """Fuzz, guided by coverage."""
    fuzz(target, SEEDS)


if __name__ == "__main__":
    main()
