"""Whatever arrives on the wire, decoding and deciding end in an answer."""

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.credential import present
from authz_service.core.facts import Facts
from authz_service.core.respond import respond
from authz_service.core.verdict import Deny, Reason
from authz_service.wire.check_request import decode_check_request
from authz_service.wire.check_response import encode_check_response
from authz_service.wire.pb.ext_authz_pb2 import CheckRequest

NAMES = st.one_of(
    st.sampled_from(["x-api-key", "authorization", "x-request-id", "x-envoy-external-address"]),
    st.sampled_from(["traceparent", "x-cloud-trace-context"]),
    st.text(st.characters(codec="utf-8")),
)
TEXT = st.text(st.characters(codec="utf-8"))


def answers(request: CheckRequest) -> Facts:
    """Take a request all the way to the bytes of an answer."""
    facts = decode_check_request(request)
    present(facts)
    denial = Deny(Reason.NO_ROUTE)
    answer = respond(
        denial, tiers={}, accepts_tokens=False, request_id=facts.request_id, decision_id="d"
    )
    assert encode_check_response(answer).SerializeToString()
    return facts


@given(TEXT, TEXT, TEXT, st.lists(st.tuples(NAMES, st.binary())), st.dictionaries(NAMES, TEXT))
def test_any_attributes_are_read(
    method: str, path: str, route: str, raw: list[tuple[str, bytes]], text: dict[str, str]
) -> None:
    """Arbitrary method, path, header names and header bytes never raise and lose no credential."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path = method, path
    request.attributes.context_extensions["route"] = route
    for name, value in raw:
        http.header_map.headers.add(key=name, raw_value=value)
    http.headers.update(text)
    facts = answers(request)
    sent = [name for name, _ in raw] + list(text)
    assert len(facts.api_keys) == sent.count("x-api-key")
    assert len(facts.authorizations) == sent.count("authorization")
    assert facts.path == path.split("?", maxsplit=1)[0]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_no_message(payload: bytes) -> None:
    """Bytes that are a message at all are answered; the rest protobuf refuses by itself."""
    try:
        request = CheckRequest.FromString(payload)
    except DecodeError:
        return
    answers(request)
