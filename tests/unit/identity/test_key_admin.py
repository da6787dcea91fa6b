"""Managing keys: what each call changes, what it refuses, what it writes down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from authz_service.errors import StoreError
from authz_service.identity.key_admin import KeyAdmin, UnknownKeyError
from authz_service.identity.key_fields import KeyFieldsError
from authz_service.identity.key_store import KeyConflictError, StoredKey
from tests.unit.identity.key_admins import (
    DAY_MS,
    NOW_MS,
    HeldKeyStore,
    Managed,
    digest_of,
    managed,
    stored,
)

NEW = {"name": "The web shop", "tier": "pro"}


async def test_a_key_is_made_with_little() -> None:
    """Name and tier are enough: the id is random, the key is its own subject and does not end."""
    it = managed()
    issued = await it.admin.create(NEW)
    assert issued.secret == "sk_live_canary1"
    assert issued.key == StoredKey(
        id="key_1",
        digest=digest_of(b"sk_live_canary1"),
        name="The web shop",
        subject="key_1",
        tier="pro",
        created_at_ms=NOW_MS,
    )
    assert it.store.records == {"key_1": issued.key}
    assert it.written == [("created", "key_1", (), "done")]


async def test_everything_that_can_be_said_of_a_key_is_kept() -> None:
    """Every field ends up in the record, spans counted from now."""
    it = managed()
    issued = await it.admin.create(
        NEW
        | {
            "id": "shop-1",
            "subject": "shop",
            "scopes": ["read", "write"],
            "expires_at": "30d",
            "rate": "100/minute",
            "quota": "5000/day",
            "networks": ["192.0.2.0/24", "2001:DB8::1"],
            "environment": "test",
        }
    )
    assert issued.secret == "sk_test_canary1"
    assert issued.key == StoredKey(
        id="shop-1",
        digest=digest_of(b"sk_test_canary1"),
        name="The web shop",
        subject="shop",
        tier="pro",
        scopes=("read", "write"),
        expires_at_ms=NOW_MS + 30 * DAY_MS,
        rate="100/minute",
        quota="5000/day",
        networks=("192.0.2.0/24", "2001:db8::1/128"),
        created_at_ms=NOW_MS,
    )


async def test_a_secret_has_no_repr_and_no_audit_line() -> None:
    """It is in the one field of the one answer."""
    it = managed()
    issued = await it.admin.create(NEW)
    rerolled = await it.admin.reroll("key_1", {"overlap": "1h"})
    assert "canary" in issued.secret
    assert "canary" in rerolled.secret
    assert "canary" not in repr(issued) + repr(rerolled) + repr(it.audit)


async def test_an_id_is_taken_once() -> None:
    """A second key of the same id is refused, and the first one stays."""
    first = stored("shop-1")
    it = managed(first)
    with pytest.raises(KeyConflictError, match="the id is taken"):
        await it.admin.create(NEW | {"id": "shop-1"})
    assert it.store.records == {"shop-1": first}
    assert it.written == []


async def test_a_random_id_that_is_taken_is_drawn_again() -> None:
    """Nobody hears of the first one."""
    it = managed(stored("key_1"))
    assert (await it.admin.create(NEW)).key.id == "key_2"


async def test_drawing_ids_has_an_end() -> None:
    """Where every draw fails somebody else has to look."""
    it = managed(*[stored(f"key_{number}") for number in range(10)])
    with pytest.raises(KeyConflictError, match="no id was free"):
        await it.admin.create(NEW)


async def test_every_wrong_field_is_told() -> None:
    """All at once, by name, and no value is repeated."""
    it = managed()
    with pytest.raises(KeyFieldsError) as caught:
        await it.admin.create({"tier": "canary", "id": "canary id", "expires_at": "canary", "x": 1})
    assert [problem.field for problem in caught.value.fields] == [
        "name",
        "tier",
        "id",
        "expires_at",
        "",
    ]
    assert "canary" not in str(caught.value)
    assert it.store.records == {}


async def test_a_key_is_shown_with_its_last_use() -> None:
    """Where it is known."""
    it = managed(stored("key_a"), stored("key_b"))
    it.store.used["key_a"] = NOW_MS - 1
    assert (await it.admin.show("key_a")).last_used_ms == NOW_MS - 1
    assert (await it.admin.show("key_b")).last_used_ms is None


async def test_keys_are_listed_by_subject_and_age() -> None:
    """Two keys of one subject stand together, the older one first."""
    it = managed(
        stored("key_c", subject="b"),
        stored("key_b", subject="a", created_at_ms=2),
        stored("key_d", subject="a", created_at_ms=1),
    )
    assert [view.key.id for view in await it.admin.every()] == ["key_d", "key_b", "key_c"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_cover_everything_once(limit: int) -> None:
    """Whatever their size, in the order of ids, and only the last one says it is."""
    ids = [f"key_{number:02}" for number in range(30)]
    it = managed(*[stored(key_id) for key_id in reversed(ids)])
    found: list[str] = []
    more = True
    while more:
        page = await it.admin.page(after=found[-1] if found else "", limit=limit)
        found += [view.key.id for view in page.keys]
        assert len(page.keys) == limit or not page.more
        more = page.more
    assert found == ids


async def test_disabling_is_undone_by_enabling() -> None:
    """Nothing else changes, and each change is written down by the name of its field."""
    before = stored("key_a")
    it = managed(before)
    assert await it.admin.disable("key_a") == replace(before, disabled=True)
    assert it.store.records["key_a"].disabled
    assert await it.admin.enable("key_a") == before
    assert it.store.records["key_a"] == before
    assert it.written == [
        ("disabled", "key_a", ("disabled",), "done"),
        ("enabled", "key_a", ("disabled",), "done"),
    ]


async def test_what_is_so_already_is_no_change() -> None:
    """Disabling a disabled key and enabling an enabled one succeed, and nothing is written down."""
    it = managed(stored("key_a"), stored("key_b", disabled=True))
    await it.admin.enable("key_a")
    await it.admin.disable("key_b")
    assert it.written == []


async def test_a_deleted_key_is_gone() -> None:
    """Its record is returned once more; a second time there is none."""
    before = stored("key_a")
    it = managed(before)
    assert await it.admin.delete("key_a") == before
    assert it.store.records == {}
    with pytest.raises(UnknownKeyError):
        await it.admin.delete("key_a")
    assert it.written == [("deleted", "key_a", (), "done")]


CALLS: list[Callable[[KeyAdmin, str], Awaitable[object]]] = [
    KeyAdmin.show,
    KeyAdmin.disable,
    KeyAdmin.enable,
    KeyAdmin.delete,
    lambda admin, key_id: admin.reroll(key_id, {"overlap": "0s"}),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key_id", ["key_b", "", "canary id", "k\x00", "ü", "k" * 129, "\ud800"])
async def test_an_id_that_no_key_has_is_unknown(
    call: Callable[[KeyAdmin, str], Awaitable[object]], key_id: str
) -> None:
    """Also one that cannot be an id, and the message does not repeat it: it may be a key."""
    it = managed(stored("key_a"))
    it.store.fails = key_id != "key_b"  # what cannot be an id is not asked for
    with pytest.raises(UnknownKeyError, match=r"^there is no key with this id$"):
        await call(it.admin, key_id)


async def test_a_reroll_makes_a_second_key_of_the_same_subject() -> None:
    """The new one has everything of the old one but id, digest and age."""
    before = stored("key_a", scopes=("read",), rate="5/minute", networks=("192.0.2.0/24",))
    it = managed(before)
    issued = await it.admin.reroll("key_a", {"overlap": "24h"})
    assert issued.secret == "sk_live_canary1"
    assert issued.key == replace(
        before, id="key_1", digest=digest_of(b"sk_live_canary1"), created_at_ms=NOW_MS
    )
    assert issued.replaced == replace(before, expires_at_ms=NOW_MS + DAY_MS)
    assert it.store.records == {"key_1": issued.key, "key_a": issued.replaced}
    assert it.written == [
        ("rerolled", "key_1", (), "done"),
        ("rerolled", "key_a", ("expires_at",), "done"),
    ]


@pytest.mark.parametrize("own_end_ms", [None, NOW_MS + 1, NOW_MS + DAY_MS, NOW_MS + 9 * DAY_MS])
@pytest.mark.parametrize("overlap", ["0s", "24h", "30d", "366d"])
async def test_an_old_key_never_outlives_its_own_end(own_end_ms: int | None, overlap: str) -> None:
    """The overlap may only shorten its life."""
    it = managed(stored("key_a", expires_at_ms=own_end_ms))
    replaced = (await it.admin.reroll("key_a", {"overlap": overlap})).replaced
    assert replaced is not None
    assert replaced.expires_at_ms is not None
    assert replaced.expires_at_ms <= (own_end_ms or NOW_MS + 366 * DAY_MS)
    wanted_ms = NOW_MS + {"0s": 0, "24h": 1, "30d": 30, "366d": 366}[overlap] * DAY_MS
    assert replaced.expires_at_ms in {wanted_ms, own_end_ms}
    assert replaced.expires_at_ms <= wanted_ms


@pytest.mark.parametrize(
    ("given", "ends_ms"),
    [
        ({}, NOW_MS + DAY_MS),
        ({"expires_at": "90d"}, NOW_MS + 90 * DAY_MS),
        ({"expires_at": None}, None),
    ],
)
async def test_the_new_key_ends_when_it_is_told_to(
    given: dict[str, object], ends_ms: int | None
) -> None:
    """Left unsaid, it gains nothing over the old one; null is no end."""
    it = managed(stored("key_a", expires_at_ms=NOW_MS + DAY_MS))
    issued = await it.admin.reroll("key_a", {"overlap": "1h", **given})
    assert issued.key.expires_at_ms == ends_ms


@pytest.mark.parametrize(
    "fields", [{"disabled": True}, {"expires_at_ms": NOW_MS}, {"expires_at_ms": 1}]
)
async def test_only_an_active_key_is_rerolled(fields: dict[str, object]) -> None:
    """A new key would undo that the old one was switched off."""
    before = stored("key_a", **fields)
    it = managed(before)
    with pytest.raises(KeyConflictError, match=r"the key is disabled|the key has expired"):
        await it.admin.reroll("key_a", {"overlap": "1h"})
    assert it.store.records == {"key_a": before}


@pytest.mark.parametrize("overlap", [None, "", "1", "-1h", "367d", 3600, "forever"])
async def test_an_overlap_is_a_span(overlap: object) -> None:
    """Said outright, and at most a year."""
    it = managed(stored("key_a"))
    with pytest.raises(KeyFieldsError, match=r"^overlap: "):
        await it.admin.reroll("key_a", {"overlap": overlap})
    with pytest.raises(KeyFieldsError, match=r"^overlap: is required$"):
        await it.admin.reroll("key_a", {})


def busy(it: Managed, changes: int) -> None:
    """Somebody who changes the name of `key_a` just before each of our changes."""
    left = iter(range(changes))

    def rename() -> None:
        number = next(left, None)
        if number is not None:
            it.store.put(replace(it.store.records["key_a"], name=f"name {number}"))

    it.store.before_apply = rename


CHANGES: list[Callable[[KeyAdmin], Awaitable[object]]] = [
    lambda admin: admin.disable("key_a"),
    lambda admin: admin.delete("key_a"),
    lambda admin: admin.reroll("key_a", {"overlap": "1h"}),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_came_too_late_is_made_anew(
    change: Callable[[KeyAdmin], Awaitable[object]],
) -> None:
    """On the record as it is now: what others changed meanwhile is kept."""
    it = managed(stored("key_a"))
    busy(it, changes=3)
    await change(it.admin)
    assert {record.name for record in it.store.records.values()} <= {"name 2"}
    assert all(outcome == "done" for *_, outcome in it.written)


@pytest.mark.parametrize("change", CHANGES)
async def test_trying_again_has_an_end(change: Callable[[KeyAdmin], Awaitable[object]]) -> None:
    """A record that never rests is told as a conflict, and nothing is written down."""
    it = managed(stored("key_a"))
    busy(it, changes=1_000)
    with pytest.raises(KeyConflictError, match="the key changes all the time"):
        await change(it.admin)
    assert it.written == []


async def test_a_key_that_was_switched_off_meanwhile_is_not_rerolled() -> None:
    """The second look sees it."""
    it = managed(stored("key_a"))

    def disable() -> None:
        it.store.put(replace(it.store.records["key_a"], disabled=True))

    it.store.before_apply = disable
    with pytest.raises(KeyConflictError, match="the key is disabled"):
        await it.admin.reroll("key_a", {"overlap": "1h"})
    assert list(it.store.records) == ["key_a"]


@pytest.mark.parametrize(
    "call",
    [
        lambda admin: admin.create(NEW),
        lambda admin: admin.show("key_a"),
        lambda admin: admin.every(),
        lambda admin: admin.page(after="", limit=1),
        lambda admin: admin.disable("key_a"),
        lambda admin: admin.reroll("key_a", {"overlap": "1h"}),
        lambda admin: admin.delete("key_a"),
        lambda admin: admin.take_over([]),
    ],
)
async def test_a_store_that_is_away_is_said_to_be(
    call: Callable[[KeyAdmin], Awaitable[object]],
) -> None:
    """By the store's own error."""
    it = managed(stored("key_a"))
    it.store.fails = True
    with pytest.raises(StoreError):
        await call(it.admin)


async def test_a_change_whose_answer_was_lost_is_written_down_as_unknown() -> None:
    """It may have been made, and who reads the log must know."""
    it = managed(stored("key_a"))
    it.store.loses_answers = True
    with pytest.raises(StoreError):
        await it.admin.disable("key_a")
    assert it.written == [("disabled", "key_a", ("disabled",), "unknown")]


class HangingKeyStore(HeldKeyStore):
    """A store that never answers a change."""

    async def apply(self, changes: object) -> None:
        """Wait for good."""
        del changes
        await asyncio.Event().wait()


async def test_a_change_that_is_given_up_is_written_down_as_unknown() -> None:
    """Whoever gave up did not hear the answer either."""
    it = Managed(store=HangingKeyStore([stored("key_a")]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await it.admin.disable("key_a")
    assert it.written == [("disabled", "key_a", ("disabled",), "unknown")]
