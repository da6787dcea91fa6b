"""Whatever is sent as a token, the answer is a value."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core import base64url
from authz_service.core.claims import Grant, judge
from authz_service.core.json_object import read_object
from authz_service.core.token import Token, parse_token
from authz_service.core.verdict import Reason
from authz_service.testing.tokens import NOW_S, claims, encoded, provider, segment

PROVIDER = provider()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["exp", "nbf", "iat", "aud", "sub", "tier", "scope", "iss"])
NOW_MS = st.integers(0, 4 * NOW_S * 1000)


@given(st.binary())
def test_any_bytes_are_a_token_or_malformed(data: bytes) -> None:
    """Nothing else comes out, and nothing is raised."""
    assert parse_token(data) is Reason.MALFORMED_TOKEN


@given(st.binary(min_size=1), st.binary(min_size=1), st.binary(min_size=1))
def test_any_three_segments_are_a_token_or_malformed(
    header: bytes, said: bytes, signature: bytes
) -> None:
    """The same for bytes that got past the first gate."""
    found = parse_token(b".".join(map(encoded, (header, said, signature))))
    assert found is Reason.MALFORMED_TOKEN


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), JSON), JSON)
def test_any_header_and_claims_are_a_token_or_malformed(
    header: dict[str, object], said: object
) -> None:
    """A token that is accepted has a text for its algorithm and an object of claims."""
    found = parse_token(b".".join([segment(header), segment(said), encoded(b"x")]))
    assert isinstance(found, Token | Reason)
    if isinstance(found, Token):
        assert found.algorithm == header["alg"]
        assert found.claims == said


@given(st.text(alphabet="AQgw-_=+/ \n", max_size=12))
def test_bytes_have_one_spelling(text: str) -> None:
    """What is decoded is encoded to the same text again."""
    data = base64url.decode(text.encode())
    assert data is None or encoded(data) == text.encode()


@given(st.binary(max_size=40))
def test_every_spelling_of_bytes_is_read(data: bytes) -> None:
    """What is encoded is decoded to the same bytes again."""
    assert base64url.decode(encoded(data)) == data


@given(st.text(alphabet='{}[]":,\\0 ', max_size=200))
def test_depth_is_counted_as_the_decoder_does(text: str) -> None:
    """Whatever stands in quotes: text that is read nests no deeper than it may."""
    found = read_object(text.encode())
    assert found is None or json.loads(text) == found


@given(st.dictionaries(NAMES, JSON), NOW_MS, st.none() | st.text())
def test_any_claims_are_a_caller_or_a_reason(
    said: dict[str, object], now_ms: int, typ: str | None
) -> None:
    """Each claim may be anything, alone or beside right ones."""
    for changed in (said, {**claims(), **said}):
        token = Token(
            algorithm="RS256", key_id=None, type=typ, claims=changed, signed=b"", signature=b""
        )
        for one in (PROVIDER, replace(PROVIDER, audiences=frozenset())):
            assert isinstance(judge(token, one, now_ms), Grant | Reason)


@given(st.floats(0, 4 * NOW_S) | st.integers(0, 4 * NOW_S), NOW_MS)
def test_nobody_is_let_in_outside_of_a_tokens_life(exp: float, now_ms: int) -> None:
    """Whatever `exp` is, what is let in has not expired by more than the leeway."""
    token = Token(
        algorithm="RS256",
        key_id=None,
        type=None,
        claims=claims(exp=exp, iat=None),
        signed=b"",
        signature=b"",
    )
    if isinstance(judge(token, PROVIDER, now_ms), Grant):
        assert exp * 1000 + 30_000 > now_ms
        assert exp * 1000 - now_ms <= PROVIDER.max_lifetime_ms
