"""Managing keys over HTTP: each operation, and each way to fail."""

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.admin.api import AUTHORIZATION, Api
from tests.unit.identity.key_admins import DAY_MS, NOW_MS, stored

NEW = {"name": "The web shop", "tier": "pro", "id": "shop-1"}
SHOWN: dict[str, Any] = {
    "id": "key_a",
    "name": "A key",
    "subject": "acme",
    "tier": "free",
    "state": "active",
    "scopes": [],
    "created_at": "2030-03-16T17:46:40Z",
    "expires_at": None,
    "rate": None,
    "quota": None,
    "networks": [],
}


async def test_a_key_is_made_and_its_secret_shown_once(api: Api) -> None:
    """201, where it is, and the secret, which no later answer has."""
    answer = await api.ask("POST", "/v1/keys", json=NEW)
    assert answer.status == 201
    assert answer.headers["Location"] == "/v1/keys/shop-1"
    assert answer.json["secret"] == "sk_live_canary1"
    assert answer.json["key"] == SHOWN | {
        "id": "shop-1",
        "name": "The web shop",
        "subject": "shop-1",
        "tier": "pro",
        "created_at": "2030-03-17T17:46:40Z",
    }
    for path in ("/v1/keys", "/v1/keys/shop-1"):
        assert b"canary" not in (await api.ask("GET", path)).body


async def test_what_a_store_did_wrong_is_in_the_log(api: Api) -> None:
    """The client learns that it may try again, the operator why."""
    api.it.store.fails = True
    with capture_logs() as logs:
        assert (await api.ask("GET", "/v1/keys")).status == 503
    (line,) = logs
    assert line["event"] == "an admin request failed in a store"
    assert line["error"]
    assert line["request_id"]


async def test_keys_are_listed_page_by_page(api: Api) -> None:
    """In the order of their ids; the last page says that none follows."""
    api.it.store.put(*map(stored, ("c", "a", "b")))
    api.it.store.used["a"] = NOW_MS - 1_000
    first = await api.ask("GET", "/v1/keys?limit=2")
    assert [key["id"] for key in first.json["keys"]] == ["a", "b"]
    assert first.json["keys"][0]["last_used_at"] == "2030-03-17T17:46:39Z"
    assert first.json["next"] == "b"
    last = await api.ask("GET", "/v1/keys", params={"limit": "2", "after": "b"})
    assert ([key["id"] for key in last.json["keys"]], last.json["next"]) == (["c"], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", ""),
        ("before=a", ""),
    ],
)
async def test_a_wrong_query_is_told(api: Api, query: str, field: str) -> None:
    """By the name of its parameter."""
    answer = await api.ask("GET", f"/v1/keys?{query}")
    assert answer.status == 422
    assert [it["field"] for it in answer.json["error"]["details"]["errors"]] == [field]


async def test_one_key_is_shown(api: Api) -> None:
    """Without its digest."""
    api.it.store.put(stored("key_a"))
    answer = await api.ask("GET", "/v1/keys/key_a")
    assert (answer.status, answer.json) == (200, {"key": {**SHOWN, "last_used_at": None}})


async def test_an_id_may_hold_a_slash(api: Api) -> None:
    """Written as %2F, it parts no segments."""
    answer = await api.ask("POST", "/v1/keys", json=NEW | {"id": "eu/shop:1"})
    location = answer.headers["Location"]
    assert location == "/v1/keys/eu%2Fshop%3A1"
    raw = await api.send(
        f"GET {location} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: {AUTHORIZATION['Authorization']}\r\n\r\n".encode()
    )
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert b'"id": "eu/shop:1"' in raw


async def test_switching_a_key_off_and_on(api: Api) -> None:
    """Each says how the key is now."""
    api.it.store.put(stored("key_a"))
    off = await api.ask("POST", "/v1/keys/key_a/disable")
    assert (off.status, off.json) == (200, {"key": {**SHOWN, "state": "disabled"}})
    assert api.it.store.records["key_a"].disabled
    on = await api.ask("POST", "/v1/keys/key_a/enable")
    assert (on.status, on.json) == (200, {"key": SHOWN})
    assert [line.action for line in api.it.audit] == ["disabled", "enabled"]


async def test_a_key_is_replaced(api: Api) -> None:
    """201 with the new one, its secret, and the old one with its end."""
    api.it.store.put(stored("key_a", expires_at_ms=NOW_MS + 2 * DAY_MS))
    answer = await api.ask("POST", "/v1/keys/key_a/reroll", json={"overlap": "24h"})
    assert answer.status == 201
    assert answer.headers["Location"] == "/v1/keys/key_1"
    assert answer.json["secret"] == "sk_live_canary1"
    assert answer.json["key"]["id"] == "key_1"
    assert answer.json["key"]["expires_at"] == "2030-03-19T17:46:40Z"
    assert answer.json["replaced"]["expires_at"] == "2030-03-18T17:46:40Z"
    assert answer.json["key"]["subject"] == answer.json["replaced"]["subject"]


async def test_a_deleted_key_is_gone(api: Api) -> None:
    """204 once, 404 after."""
    api.it.store.put(stored("key_a"))
    answer = await api.ask("DELETE", "/v1/keys/key_a")
    assert (answer.status, answer.body) == (204, b"")
    assert (await api.ask("DELETE", "/v1/keys/key_a")).status == 404


async def test_entries_are_imported_all_or_none(api: Api) -> None:
    """What is wrong is told in its place; the same twice changes nothing."""
    entries: list[dict[str, Any]] = [
        {"name": "a", "tier": "free", "id": "a", "key_sha256": "a" * 64},
        {"name": "b", "tier": "free", "id": "b", "key_sha256": "b" * 64},
    ]
    wrong = await api.ask("POST", "/v1/keys/import", json=[entries[0], {**entries[1], "tier": 1}])
    assert wrong.status == 422
    assert wrong.json["error"]["details"] == {
        "errors": [{"field": "[1].tier", "message": "must be a string"}]
    }
    assert api.it.store.records == {}
    right = await api.ask("POST", "/v1/keys/import", json=entries)
    assert (right.status, right.json) == (200, {"imported": ["a", "b"], "unchanged": []})
    again = await api.ask("POST", "/v1/keys/import", json=entries)
    assert again.json == {"imported": [], "unchanged": ["a", "b"]}


async def test_every_wrong_field_is_named(api: Api) -> None:
    """422 in the one form of errors, and no value is repeated."""
    answer = await api.ask(
        "POST", "/v1/keys", json={"tier": "canary", "scopes": ["canary !"], "canary": 1}
    )
    assert answer.status == 422
    error = answer.json["error"]
    assert (error["code"], error["message"]) == ("VALIDATION_ERROR", "Request validation failed")
    assert [it["field"] for it in error["details"]["errors"]] == ["name", "tier", "scopes[0]", ""]
    assert b"canary" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
        ("POST", "/reroll", {"overlap": "1h"}),
    ],
)
@pytest.mark.parametrize("key_id", ["key_b", "sk_live_canary", "%F0%9F", "a%00b", "a%20b"])
async def test_an_unknown_key_is_not_found(
    api: Api, method: str, path: str, body: object, key_id: str
) -> None:
    """404 without the id: a key may have been pasted in its place."""
    options = {} if body is None else {"json": body}
    answer = await api.ask(method, f"/v1/keys/{key_id}{path}", **options)
    assert answer.status == 404
    assert answer.json["error"]["message"] == "There is no key with this id."
    assert b"canary" not in answer.body


async def test_a_conflict_says_why(api: Api) -> None:
    """409 for an id that is taken, and for a key that cannot be replaced."""
    api.it.store.put(replace(stored("shop-1"), disabled=True))
    taken = await api.ask("POST", "/v1/keys", json=NEW)
    assert (taken.status, taken.json["error"]["code"]) == (409, "CONFLICT")
    assert taken.json["error"]["message"] == "The id is taken."
    off = await api.ask("POST", "/v1/keys/shop-1/reroll", json={"overlap": "1h"})
    assert off.status == 409
    assert off.json["error"]["message"].startswith("The key is disabled; ")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/keys", None),
        ("GET", "/v1/keys/key_a", None),
        ("POST", "/v1/keys", NEW),
        ("POST", "/v1/keys/import", []),
        ("POST", "/v1/keys/key_a/disable", None),
        ("DELETE", "/v1/keys/key_a", None),
    ],
)
async def test_a_store_that_fails_can_be_asked_again(
    api: Api, method: str, path: str, body: object
) -> None:
    """503, and when."""
    api.it.store.fails = True
    answer = await api.ask(method, path, **({} if body is None else {"json": body}))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json["error"]["code"] == "SERVICE_UNAVAILABLE"
