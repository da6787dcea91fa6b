"""Importing keys: all or nothing, every problem in its place, the same twice is once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from authz_service.identity import key_import
from authz_service.identity.key_fields import KeyFieldsError
from authz_service.identity.key_store import KeyConflictError, StoredKey
from tests.unit.identity.key_admins import NOW_MS, HeldKeyStore, Managed, managed, stored


def hex_of(number: int) -> str:
    """A digest that no other number has."""
    return f"{number:064x}"


def entry(number: int = 1, **fields: object) -> dict[str, Any]:
    """A right entry."""
    return {"name": f"Key {number}", "tier": "free", "key_sha256": hex_of(number), **fields}


async def problems(it: Managed, *entries: object) -> list[str]:
    """What is wrong with these entries."""
    before = dict(it.store.records)
    with pytest.raises(KeyFieldsError) as caught:
        await it.admin.take_over(list(entries))
    assert it.store.records == before
    assert it.written == []
    return [str(problem) for problem in caught.value.fields]


async def test_entries_become_records() -> None:
    """With the fields of a key file, and the id that a key file would give."""
    it = managed()
    full = entry(2) | {
        "id": "billing-2",
        "subject": "billing",
        "scopes": ["invoices"],
        "expires_at": "2020-01-01T00:00:00Z",
        "disabled": True,
        "rate": "5/minute",
        "quota": "10/day",
        "networks": ["192.0.2.0/24"],
        "created_at": "1970-01-01T00:00:01Z",
    }
    imported = await it.admin.take_over([entry(1, id=None), full])
    assert imported.unchanged == ()
    assert imported.new == (
        StoredKey(
            id="000000000000",
            digest=f"sha256:{hex_of(1)}",
            name="Key 1",
            subject="000000000000",
            tier="free",
            created_at_ms=NOW_MS,
        ),
        StoredKey(
            id="billing-2",
            digest=f"sha256:{hex_of(2)}",
            name="Key 2",
            subject="billing",
            tier="free",
            scopes=("invoices",),
            expires_at_ms=1_577_836_800_000,
            disabled=True,
            rate="5/minute",
            quota="10/day",
            networks=("192.0.2.0/24",),
            created_at_ms=1_000,
        ),
    )
    assert it.store.records == {key.id: key for key in imported.new}
    assert it.written == [
        ("imported", "000000000000", (), "done"),
        ("imported", "billing-2", (), "done"),
    ]


async def test_a_peppered_digest_keeps_the_name_of_its_pepper() -> None:
    """As the store spells it."""
    it = managed()
    given = {"name": "n", "tier": "free", "id": "k", "key_hmac": f"0a0b0c0d:{hex_of(1)}"}
    (key,) = (await it.admin.take_over([given])).new
    assert key.digest == f"hmac-sha256:0a0b0c0d:{hex_of(1)}"


async def test_the_same_import_twice_changes_nothing() -> None:
    """Also later, and with new entries among the old."""
    it = managed()
    first = await it.admin.take_over([entry(1, id="a"), entry(2, id="b")])
    it.clock.advance(1_000)
    again = await it.admin.take_over([entry(3, id="c"), entry(1, id="a"), entry(2, id="b")])
    assert set(again.unchanged) == set(first.new)
    assert [key.id for key in again.new] == ["c"]
    assert len(it.written) == 3


@pytest.mark.parametrize("given", [{}, {"keys": []}, "text", None, 7])
async def test_anything_but_a_list_is_refused(given: object) -> None:
    """Entries come in a list."""
    with pytest.raises(KeyFieldsError, match=r"^must be a list of entries$"):
        await managed().admin.take_over(given)


async def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One import is one change of the store, which must not keep it busy."""
    monkeypatch.setattr(key_import, "MAX_ENTRIES", 2)
    it = managed()
    await it.admin.take_over([entry(1, id="a"), entry(2, id="b")])
    with pytest.raises(KeyFieldsError, match=r"^must hold at most 2 entries$"):
        await it.admin.take_over([{}, {}, {}])


async def test_every_wrong_entry_is_told_in_its_place() -> None:
    """And none of the right ones is imported."""
    assert await problems(
        managed(), entry(1, id="a"), 7, entry(2, id="b", tier="gold", scopes=[1]), {}
    ) == [
        "[1]: must be an object",
        "[2].tier: is no tier of the policy; known are free, pro",
        "[2].scopes[0]: must be a string",
        "[3].name: is required",
        "[3].tier: is required",
    ]


async def test_twins_are_told() -> None:
    """Of a key, and of an id."""
    assert await problems(
        managed(), entry(1, id="a"), entry(1, id="b"), entry(2, id="a"), entry(3, tier=1)
    ) == [
        "[3].tier: must be a string",
        "[1]: the same key as [0]",
        "[2].id: the same id as [0]",
    ]


async def test_what_the_store_has_otherwise_is_told() -> None:
    """An id with other fields, and a key under another id."""
    it = managed(
        stored("a", digest=f"sha256:{hex_of(9)}"), stored("z", digest=f"sha256:{hex_of(2)}")
    )
    assert await problems(it, entry(3, id="c"), entry(2, id="b"), entry(1, id="a")) == [
        "[1]: is there already, as z",
        "[2].id: is there already, with other fields",
    ]


async def test_an_import_that_came_too_late_is_compared_anew() -> None:
    """What others imported meanwhile is unchanged; what they took is told."""
    it = managed()
    record = (await managed().admin.take_over([entry(1, id="a")])).new[0]

    def import_first() -> None:
        it.store.put(replace(record, created_at_ms=1))

    it.store.before_apply = import_first
    imported = await it.admin.take_over([entry(1, id="a"), entry(2, id="b")])
    assert ([key.id for key in imported.new], len(imported.unchanged)) == (["b"], 1)


class RestlessKeyStore(HeldKeyStore):
    """A store whose records are never there while they are listed."""

    async def all(self) -> AsyncIterator[StoredKey]:
        """Nothing."""
        for record in tuple[StoredKey, ...]():
            yield record


async def test_importing_anew_has_an_end() -> None:
    """A store that is never as it was is told as a conflict."""
    it = Managed(store=RestlessKeyStore([stored("z", digest=f"sha256:{hex_of(1)}")]))
    with pytest.raises(KeyConflictError, match="the key changes all the time"):
        await it.admin.take_over([entry(1, id="a")])
    assert it.written == []
