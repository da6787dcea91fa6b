"""Fields of keys: what may be said, and how every mistake is told without its value."""

from typing import Any

import pytest

from authz_service.identity.key_fields import (
    ImportedKey,
    KeyFieldsError,
    NewKey,
    Surroundings,
    read_fields,
)
from tests.unit.identity.key_admins import NOW_MS, TIERS

SURROUNDINGS = Surroundings(now_ms=NOW_MS, tiers=TIERS)
NEW: dict[str, Any] = {"name": "The web shop", "tier": "pro"}
HEX = "0123456789abcdef" * 4
NAME = "must be 1 to 128 of A-Z a-z 0-9 . _ : @ / -"
TITLE = "must be 1 to 128 printable characters"
NETWORK = "is no network; write 203.0.113.0/24, with nothing set behind the prefix"
MOMENT = "is no moment; write 2027-01-31T00:00:00Z, or 30d for 30 days from now"
PEPPERED = "must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits"
ENVIRONMENT = "must be 1 to 12 of a-z and 0-9"


def problems(model: type[NewKey] | type[ImportedKey], given: object) -> list[str]:
    """What is wrong with these fields."""
    with pytest.raises(KeyFieldsError) as caught:
        read_fields(model, given, SURROUNDINGS)
    return [str(problem) for problem in caught.value.fields]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "name: is required"),
        ({"name": ""}, f"name: {TITLE}"),
        ({"name": "   "}, f"name: {TITLE}"),
        ({"name": "x" * 129}, f"name: {TITLE}"),
        ({"name": "two\nlines"}, f"name: {TITLE}"),
        ({"name": "colour \x1b[31m"}, f"name: {TITLE}"),
        ({"name": "right to left \u202e"}, f"name: {TITLE}"),
        ({"name": "half \ud800"}, f"name: {TITLE}"),
        ({"name": 7}, "name: must be a string"),
        ({"name": None}, "name: must be a string"),
        ({"tier": "gold"}, "tier: is no tier of the policy; known are free, pro"),
        ({"tier": ""}, f"tier: {NAME}"),
        ({"id": "a b"}, f"id: {NAME}"),
        ({"id": ""}, f"id: {NAME}"),
        ({"subject": "x" * 129}, f"subject: {NAME}"),
        ({"scopes": "read"}, "scopes: must be a list"),
        ({"scopes": ["read", "write all"]}, f"scopes[1]: {NAME}"),
        ({"scopes": ["s"] * 65}, "scopes: must hold at most 64"),
        ({"scopes": {"read": 1}}, "scopes: must be a list"),
        ({"expires_at": "tomorrow"}, f"expires_at: {MOMENT}"),
        ({"expires_at": "2030-02-30T00:00:00Z"}, f"expires_at: {MOMENT}"),
        ({"expires_at": "2031-01-01"}, f"expires_at: {MOMENT}"),
        ({"expires_at": "2031-01-01T00:00:00"}, f"expires_at: {MOMENT}"),
        ({"expires_at": 1_956_528_000}, "expires_at: must be a string"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at: is past"),
        ({"expires_at": "0s"}, "expires_at: is past"),
        (
            {"expires_at": "9999-12-31T23:59:59-01:00"},
            "expires_at: must be between the years 1970 and 9999",
        ),
        ({"expires_at": "999999w"}, "expires_at: must be between the years 1970 and 9999"),
        ({"rate": "ten/minute"}, "rate: is no rate; write 10/minute or 5 per 10s"),
        (
            {"rate": "1000000001/minute"},
            "rate: must admit 1 to 1,000,000,000 in its window; use a quota for more",
        ),
        ({"quota": "5/minute"}, "quota: is no quota; write 500/day, 500/week or 500/month"),
        ({"networks": ["192.0.2.1/24"]}, f"networks[0]: {NETWORK}"),
        ({"networks": ["192.0.2.0/24", "fe80::1%eth0"]}, f"networks[1]: {NETWORK}"),
        ({"networks": ["::ffff:192.0.2.0/120"]}, f"networks[0]: {NETWORK}"),
        ({"networks": [3_221_225_985]}, "networks[0]: must be a string"),
        ({"environment": "Live"}, f"environment: {ENVIRONMENT}"),
        ({"environment": "a_b"}, f"environment: {ENVIRONMENT}"),
        ({"environment": ""}, f"environment: {ENVIRONMENT}"),
    ],
)
def test_a_wrong_field_is_told(given: dict[str, Any], problem: str) -> None:
    """By its place and the rule."""
    right = {} if not given else NEW
    expected = [problem, "tier: is required"] if not given else [problem]
    assert problems(NewKey, right | given) == expected


@pytest.mark.parametrize("given", [None, [], "text", 7, True, [NEW]])
def test_anything_but_an_object_is_refused(given: object) -> None:
    """There are no fields in it."""
    assert problems(NewKey, given) == ["must be an object"]


def test_an_unknown_field_is_not_repeated() -> None:
    """Its name may be a secret on the wrong side of a colon."""
    (told,) = problems(NewKey, NEW | {"sk_canary": 1})
    assert told.startswith("has an unknown field; known are name, tier, id, ")
    assert "canary" not in told


def test_tiers_are_judged_where_the_policy_is_known() -> None:
    """Elsewhere any name will do."""
    unknown = Surroundings(now_ms=NOW_MS, tiers=None)
    assert read_fields(NewKey, NEW | {"tier": "gold"}, unknown).tier == "gold"


ENTRY = NEW | {"key_sha256": HEX}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (NEW, "needs exactly one of key_sha256 and key_hmac"),
        (ENTRY | {"key_hmac": f"0a0b0c0d:{HEX}"}, "needs exactly one of key_sha256 and key_hmac"),
        (NEW | {"key_sha256": HEX.upper()}, "key_sha256: must be 64 lower-case hex digits"),
        (
            NEW | {"key_hmac": HEX},
            "key_hmac: must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits",
        ),
        (
            NEW | {"key_hmac": f"0A0B0C0D:{HEX}"},
            "key_hmac: must be PEPPER_ID:HEX, 8 and 64 lower-case hex digits",
        ),
        (ENTRY | {"disabled": 1}, "disabled: must be true or false"),
    ],
)
def test_a_wrong_entry_is_told(given: dict[str, Any], problem: str) -> None:
    """An entry holds one digest."""
    assert problems(ImportedKey, given) == [problem]


def test_an_entry_has_no_key() -> None:
    """Keys themselves are not taken, and not repeated."""
    (told,) = problems(ImportedKey, ENTRY | {"key": "sk_canary"})
    assert told.startswith("has an unknown field; known are name, ")
    assert "canary" not in told
