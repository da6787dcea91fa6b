"""A token is well formed to the last bit, or it is nothing: before anything is decoded further."""

import json

import pytest

from authz_service.core.json_object import MAX_DEPTH, read_object
from authz_service.core.token import Token, parse_token
from authz_service.core.verdict import Reason
from authz_service.testing.builders import PlantedSecrets
from authz_service.testing.tokens import claims, encoded, segment

HEADER = {"alg": "RS256", "kid": "one", "typ": "JWT"}
SIGNATURE = encoded(b"signature")


def token(header: object = None, said: object = None, signature: bytes = SIGNATURE) -> bytes:
    """A token of these parts; bytes are taken as they are."""
    parts = (HEADER if header is None else header, claims() if said is None else said)
    segments = [part if isinstance(part, bytes) else segment(part) for part in parts]
    return b".".join([*segments, signature])


def with_header(**changes: object) -> bytes:
    """A token whose header has these members too."""
    return token({**HEADER, **changes})


def parsed(text: bytes) -> Token:
    """A token that is well formed."""
    found = parse_token(text)
    assert isinstance(found, Token), found
    return found


def test_a_well_formed_token_is_its_parts() -> None:
    """Header, claims, what is signed and the signature come out as they went in."""
    text = token()
    found = parsed(text)
    assert (found.algorithm, found.key_id, found.type) == ("RS256", "one", "JWT")
    assert found.claims == claims()
    assert found.signed + b"." + SIGNATURE == text
    assert found.signature == b"signature"


def test_a_key_id_and_a_type_may_be_absent() -> None:
    """Both are optional (RFC 7515 sections 4.1.4 and 4.1.9)."""
    found = parsed(token({"alg": "HS256"}))
    assert (found.key_id, found.type) == (None, None)


def test_white_space_inside_json_is_json() -> None:
    """How a provider lays out its JSON is its own affair."""
    assert parsed(token(encoded(b' {"alg"\n:\t"HS256"} '))).algorithm == "HS256"


def test_where_a_header_leads_is_not_kept() -> None:
    """jku, jwk, x5u and x5c are never followed: they are not even there to be followed."""
    leads = {"jku": "https://evil.example/", "jwk": {"kty": "oct"}, "x5u": "x", "x5c": ["x"]}
    assert "evil" not in repr(parsed(with_header(**leads)))
    assert parsed(with_header(**leads)).key_id == "one"


def test_a_token_shows_nothing_of_itself(planted_secrets: PlantedSecrets) -> None:
    """Its repr holds no claim and no signature."""
    text = token(said=claims(sub=planted_secrets.claim), signature=encoded(b"planted"))
    shown = repr(parsed(text))
    assert planted_secrets.found_in(shown) == []
    assert "planted" not in shown


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"..",
        b"...",
        token() + b".",
        token() + b"." + SIGNATURE,
        token(signature=b""),
        token(b""),
        token(said=b""),
        b"." + token(),
        token().replace(b".", b" "),
        b'{"payload":"e30","protected":"e30","signature":"e30"}',
        # Encrypted (RFC 7516): five parts.
        b".".join([segment({"alg": "RSA-OAEP", "enc": "A128GCM"}), *[b"eA"] * 4]),
    ],
)
def test_anything_but_three_full_segments_is_refused(text: bytes) -> None:
    """Other numbers of segments, empty ones and other serializations are no tokens."""
    assert parse_token(text) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part: part + b"=",
        lambda part: part + b"==",
        lambda part: b" " + part,
        lambda part: part + b"\n",
        lambda part: part[:3] + b" " + part[3:],
        lambda part: part[:3] + b"\x00" + part[3:],
        lambda part: part[:3] + b"+" + part[4:],
        lambda part: part[:3] + b"/" + part[4:],
        lambda part: part[:3] + b"!" + part[3:],
        lambda part: part[:3] + b"\xc3\xa9" + part[3:],
        lambda part: b"A" + part[: len(part) // 4 * 4],  # one character alone spells no byte
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_only_canonical_base64url_is_read(spoil: object, place: int) -> None:
    """Padding, the other alphabet, spaces and stray bytes are refused in every segment."""
    assert callable(spoil)
    parts = token(signature=encoded(b"sixty-four bytes would be more usual")).split(b".")
    parts[place] = spoil(parts[place])
    assert parse_token(b".".join(parts)) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(("good", "bad"), [(b"eA", b"eB"), (b"eHg", b"eHh")])
def test_bits_that_are_left_over_must_be_zero(good: bytes, bad: bytes) -> None:
    """Two spellings of one signature would be two tokens, and one of them not revoked."""
    assert parsed(token(signature=good)).signature in {b"x", b"xx"}
    assert parse_token(token(signature=bad)) is Reason.MALFORMED_TOKEN


def test_a_token_may_have_8192_bytes_and_no_more() -> None:
    """The length is looked at before anything else."""
    heads = [token({"alg": "HS256", "kid": "k" * length}, signature=b"") for length in range(1, 9)]
    # So that a signature of the last allowed length is canonical, and one of a byte more as well.
    head = next(head for head in heads if (8192 - len(head)) % 4 == 2)
    assert parsed(head + b"A" * (8192 - len(head))).signed == head[:-1]
    assert parse_token(head + b"A" * (8193 - len(head))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": None},
        {"alg": 1},
        {"alg": ["RS256"]},
        {**HEADER, "kid": None},
        {**HEADER, "kid": 7},
        {**HEADER, "kid": ""},
        {**HEADER, "kid": "k" * 257},
        {**HEADER, "kid": ["one"]},
        {**HEADER, "typ": None},
        {**HEADER, "typ": 1},
        {**HEADER, "crit": []},
        {**HEADER, "crit": ["exp"], "exp": 1},
        {**HEADER, "crit": ["b64"], "b64": False},
        {**HEADER, "crit": None},
        {**HEADER, "b64": False},
        {**HEADER, "b64": True},
        {**HEADER, "enc": "A128GCM"},
        {**HEADER, "zip": "DEF"},
    ],
)
def test_a_header_that_asks_for_more_is_refused(header: object) -> None:
    """A missing algorithm, an odd key id or type, an extension or an encryption end it."""
    assert parse_token(token(header)) is Reason.MALFORMED_TOKEN


def test_a_key_id_may_have_256_characters_of_any_kind() -> None:
    """It is only ever looked up, so what it seems to say does not matter."""
    for key_id in ("k" * 256, "../../etc/passwd", "' OR 1=1", "\0", "http://evil.example"):
        assert parsed(with_header(kid=key_id)).key_id == key_id


NOT_OBJECTS = [
    b"",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"[{}]",
    b"{} {}",
    b"{",
    b"{'alg': 'none'}",
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 1e999}',
    b'{"a": -1e999}',
    b'{"a": 9223372036854775808}',
    b'{"a": -9223372036854775808}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"a": 1, "a": 1}',
    b'{"a": {"b": 1, "b": 2}}',
    b'{"a": [{"b": 1, "b": 2}]}',
    b'{"a": 1, "\\u0061": 2}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\n"}',
    '{"a": 1}'.encode("utf-16"),
    '{"a": 1}'.encode("utf-16-le"),
    '{"a": 1}'.encode("utf-32"),
    b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    b'{"a": ' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("data", NOT_OBJECTS, ids=range(len(NOT_OBJECTS)))
def test_what_readers_could_read_differently_is_no_object(data: bytes) -> None:
    """Doubled names, odd numbers, other encodings, deep nesting, and what is no JSON at all."""
    assert read_object(data) is None
    if data and len(data) < 4_000:
        assert parse_token(token(said=encoded(data))) is Reason.MALFORMED_TOKEN
        assert parse_token(token(encoded(data))) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize(
    "value",
    [
        9_223_372_036_854_775_807,
        -9_223_372_036_854_775_807,
        1e300,
        "[" * 500,
        '"' * 50 + "{[" * 50,
        "\\" * 51 + "[" * 50,
        [[[[[[[[[[[[[[[]]]]]]]]]]]]]]],
        [{"a": 1}, {"a": 2}] * 20,
    ],
)
def test_what_is_unusual_and_clear_is_read(value: object) -> None:
    """Large numbers in range, brackets inside of texts, many members side by side."""
    assert read_object(json.dumps({"a": value}).encode()) == {"a": value}
