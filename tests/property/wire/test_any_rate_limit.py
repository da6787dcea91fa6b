"""Whatever is asked of the rate limit service arrives as it was sent, or is refused in words."""

from contextlib import suppress
from types import ModuleType

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.descriptors import Descriptor, Entry, Override, RateLimitRequest, Unit
from authz_service.errors import UnanswerableError
from authz_service.wire import services
from authz_service.wire.ratelimit_request import (
    decode_rate_limit_request,
    encode_rate_limit_request,
    request_id_of,
)

TEXT = st.text(st.characters(codec="utf-8"))
UINT32 = st.integers(0, 2**32 - 1)
DESCRIPTORS = st.builds(
    Descriptor,
    entries=st.lists(st.builds(Entry, TEXT, TEXT), max_size=4).map(tuple),
    override=st.none()
    | st.builds(Override, requests_per_unit=UINT32, unit=st.sampled_from(list(Unit))),
    hits_addend=st.none() | UINT32,
)
QUESTIONS = st.builds(
    RateLimitRequest,
    domain=TEXT.filter(bool),
    descriptors=st.lists(DESCRIPTORS, min_size=1, max_size=4).map(tuple),
    hits_addend=UINT32,
)


@given(asked=QUESTIONS)
def test_a_question_survives_the_wire(asked: RateLimitRequest) -> None:
    """Ours to ours: every value of every field."""
    payload = encode_rate_limit_request(asked).SerializeToString()
    assert decode_rate_limit_request(services.RateLimitRequest.FromString(payload)) == asked


@given(asked=QUESTIONS)
def test_others_read_and_write_the_same_question(
    ratelimit: ModuleType, asked: RateLimitRequest
) -> None:
    """An independent implementation reads it and writes it again, and nothing is lost."""
    payload = encode_rate_limit_request(asked).SerializeToString()
    theirs = bytes(ratelimit.RateLimitRequest.parse(payload))
    assert decode_rate_limit_request(services.RateLimitRequest.FromString(theirs)) == asked


@given(st.binary(max_size=200))
def test_any_bytes_are_a_question_a_refusal_or_no_message(payload: bytes) -> None:
    """Nothing but the two refusals on purpose is ever raised."""
    try:
        message = services.RateLimitRequest.FromString(payload)
    except DecodeError:
        return
    with suppress(UnanswerableError, ValueError):
        assert decode_rate_limit_request(message).descriptors


@given(st.lists(st.tuples(st.sampled_from(["x-request-id", "a"]), TEXT | st.binary())))
def test_any_metadata_give_a_sane_id_or_none(metadata: list[tuple[str, str | bytes]]) -> None:
    """Nothing that could break a log line or a body."""
    found = request_id_of(metadata)
    assert found == "" or (len(found) <= 128 and found.isascii() and found.isprintable())
