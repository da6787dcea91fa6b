"""Stored keys as text: there and back, and nothing but what makes sense."""

import json
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import StoredKey
from authz_service.testing.builders import PlantedSecrets, stored_key

names = st.from_regex(r"[A-Za-z0-9._:@/-]{1,20}", fullmatch=True)
moments = st.integers(0, 250_000_000_000_000)  # the year 9892
stored = st.builds(
    StoredKey,
    id=names,
    digest=st.from_regex(r"(sha256|hmac-sha256:[0-9a-f]{8}):[0-9a-f]{64}", fullmatch=True),
    name=st.text().filter(str.isprintable),
    subject=names,
    tier=names,
    scopes=st.lists(names, max_size=3).map(tuple),
    expires_at_ms=st.none() | moments,
    disabled=st.booleans(),
    rate=st.none() | st.sampled_from(["10/minute", "5 per 10s"]),
    quota=st.none() | st.just("500/day"),
    networks=st.lists(st.sampled_from(["10.0.0.0/8", "2001:db8::/32"]), max_size=2).map(tuple),
    created_at_ms=moments,
)
FIELDS: dict[str, Any] = json.loads(encode(stored_key("one")))


@given(stored)
def test_a_record_survives_being_text(key: StoredKey) -> None:
    """There and back is the same, and the same record is always the same text."""
    assert decode(encode(key)) == key
    assert encode(decode(encode(key))) == encode(key)


def test_defaults_are_left_out() -> None:
    """A million records are held by a server too."""
    assert FIELDS.keys() == {"id", "digest", "name", "subject", "tier", "created_at_ms"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": ""}, "id: is no name"),
        ({"id": "a b"}, "id: is no name"),
        ({"id": 1}, "id: string_type"),
        ({"subject": "a\r\nb"}, "subject: is no name"),
        ({"tier": "x" * 129}, "tier: is no name"),
        ({"scopes": ["read", "a,b"]}, "scopes: is no name"),
        ({"name": "red \x1b[31m"}, "name: is not printable"),
        ({"name": "two\nlines"}, "name: is not printable"),
        ({"expires_at_ms": 10**17}, "created_at_ms or expires_at_ms: is no moment"),
        ({"created_at_ms": -1}, "created_at_ms or expires_at_ms: is no moment"),
        ({"scopes": "read"}, "scopes: tuple_type"),
        ({"digest": "canary"}, "digest, rate, quota or networks: is no digest"),
        ({"rate": "10"}, "digest, rate, quota or networks: is no rate"),
        ({"quota": "10/hour"}, "digest, rate, quota or networks: is no quota"),
        ({"networks": ["10.0.0.1/8"]}, "digest, rate, quota or networks: is no network"),
        ({"disabled": 1}, "disabled: bool_type"),
        ({"expires_at_ms": 1.5}, "expires_at_ms: int_"),
        ({"expires_at_ms": True}, "expires_at_ms: int_type"),
        ({"created_at_ms": None}, "created_at_ms: int_type"),
        ({"canary": 1}, "has an unknown field"),
    ],
)
def test_a_field_that_makes_no_sense_spoils_the_record(
    change: dict[str, object], problem: str
) -> None:
    """It is told by the name of the field, and its value is not repeated."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        decode(json.dumps(FIELDS | change).encode())
    assert str(caught.value).startswith(problem)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("field", [it.name for it in fields(StoredKey) if it.name in FIELDS])
def test_a_record_is_whole(field: str) -> None:
    """What has no default cannot be left out."""
    with pytest.raises(ValueError, match=f"{field}: missing"):
        decode(json.dumps({name: it for name, it in FIELDS.items() if name != field}).encode())


@given(st.binary() | st.text().map(str.encode) | st.just(b"[" * 100_000))
def test_any_bytes_are_judged(text: bytes) -> None:
    """Whatever a store holds, the answer is a record or a ValueError."""
    with suppress(ValueError):
        assert isinstance(decode(text), StoredKey)


@pytest.mark.parametrize("field", ["id", "digest", "subject", "tier", "rate", "quota"])
def test_what_is_refused_is_not_repeated(field: str, planted_secrets: PlantedSecrets) -> None:
    """A secret in the wrong field is refused without a word of it, when writing too."""
    spoiled = replace(stored_key(), **{field: f"{planted_secrets.api_key} {{}}"})  # type: ignore[arg-type]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - whatever the sentence
        encode(spoiled)
    assert planted_secrets.found_in(f"{caught.value!r} {caught.value.__cause__!r}") == []


def test_half_a_character_cannot_be_stored() -> None:
    """A lone surrogate has no bytes."""
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's sentence
        encode(stored_key(name="\ud800"))
