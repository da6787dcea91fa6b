"""What a key store promises to those who change keys, and to those who follow them."""

import asyncio
from dataclasses import replace

import pytest

from authz_service.identity.key_changes import Mark, News, Version
from authz_service.identity.key_codec import decode, encode
from authz_service.identity.key_store import KeyChange, KeyConflictError, KeyStore, StoredKey
from authz_service.testing.builders import stored_key
from tests.conformance.key_store.conftest import Stores

WHOLE = stored_key(
    "key:whole/1@example.com",
    name='Ünïcode \U0001f511 "quoted" \\ and blanks',
    subject="acme",
    scopes=("read", "write"),
    expires_at_ms=1_900_000_000_001,
    disabled=True,
    rate="5 per 10s",
    quota="500/day",
    networks=("203.0.113.0/24", "2001:db8::/32"),
)
ONE, TWO = stored_key("one"), stored_key("two")


def new(key: StoredKey) -> KeyChange:
    """A key is made."""
    return KeyChange(None, key)


def gone(key: StoredKey) -> KeyChange:
    """A key is deleted."""
    return KeyChange(key, None)


async def held(keys: KeyStore) -> dict[str, StoredKey]:
    """Every record, by id."""
    return {key.id: key async for key in keys.all()}


async def told(stores: Stores, since: Mark) -> list[tuple[str, StoredKey | None]]:
    """What somebody who follows learns: ids, and what became of their records."""
    generation, news = await stores.changes.check(since)
    changes = news.changes
    assert [change.generation for change in changes] == list(
        range(since.generation + 1, generation + 1)
    )
    return [(it.key_id, None if it.text is None else decode(it.text)) for it in changes]


async def test_what_is_stored_comes_back(stores: Stores) -> None:
    """Every field, whatever characters it holds."""
    await stores.keys.apply([new(WHOLE), new(ONE)])

    assert await stores.keys.find(WHOLE.id) == WHOLE
    assert await held(stores.keys) == {WHOLE.id: WHOLE, "one": ONE}
    assert await stores.keys.find("two") is None


async def test_a_change_takes_the_place_of_what_it_saw(stores: Stores) -> None:
    """A record is replaced as a whole, then deleted."""
    await stores.keys.apply([new(ONE)])
    changed = replace(ONE, tier="pro", disabled=True)
    await stores.keys.apply([KeyChange(ONE, changed)])
    assert await stores.keys.find("one") == changed

    await stores.keys.apply([gone(changed)])
    assert await stores.keys.find("one") is None
    assert await held(stores.keys) == {}


@pytest.mark.parametrize(
    "change",
    [
        KeyChange(replace(ONE, tier="pro"), replace(ONE, tier="enterprise")),
        gone(replace(ONE, tier="pro")),
        gone(TWO),
        KeyChange(TWO, replace(TWO, tier="pro")),
        new(ONE),
        new(replace(TWO, id="one")),
        new(replace(ONE, id="two")),
    ],
    ids=[
        "change-unseen",
        "delete-unseen",
        "delete-missing",
        "change-missing",
        "same",
        "id-taken",
        "digest-taken",
    ],
)
async def test_a_change_that_cannot_be_made_changes_nothing(
    stores: Stores, change: KeyChange
) -> None:
    """Nor do those that were to be made with it."""
    await stores.keys.apply([new(ONE)])
    mark = await stores.changes.mark()

    for changes in ([change], [new(stored_key("other")), change]):
        with pytest.raises(KeyConflictError):
            await stores.keys.apply(changes)

    assert await held(stores.keys) == {"one": ONE}
    assert await told(stores, mark) == []


async def test_one_digest_has_one_record(stores: Stores) -> None:
    """Not two of one call either, nor one that moves to a digest in use."""
    with pytest.raises(KeyConflictError):
        await stores.keys.apply([new(ONE), new(replace(TWO, digest=ONE.digest))])
    await stores.keys.apply([new(ONE), new(TWO)])
    with pytest.raises(KeyConflictError):
        await stores.keys.apply([KeyChange(TWO, replace(TWO, digest=ONE.digest))])
    assert await held(stores.keys) == {"one": ONE, "two": TWO}


async def test_one_record_is_changed_once_a_call(stores: Stores) -> None:
    """Which of two changes came first would be a guess."""
    with pytest.raises(KeyConflictError):
        await stores.keys.apply([new(ONE), KeyChange(ONE, replace(ONE, tier="pro"))])
    assert await held(stores.keys) == {}


async def test_a_digest_is_free_once_it_is_given_up(stores: Stores) -> None:
    """By a deletion, by a change, and by a change of the same call: two records may swap."""
    await stores.keys.apply([new(ONE), new(TWO)])
    swapped = replace(ONE, digest=TWO.digest), replace(TWO, digest=ONE.digest)
    await stores.keys.apply([KeyChange(ONE, swapped[0]), KeyChange(TWO, swapped[1])])
    assert await held(stores.keys) == {"one": swapped[0], "two": swapped[1]}

    await stores.keys.apply([gone(swapped[0]), new(replace(ONE, id="three", digest=TWO.digest))])
    await stores.keys.apply([gone(swapped[1])])
    await stores.keys.apply([new(replace(ONE, id="four"))])
    assert set(await held(stores.keys)) == {"three", "four"}
    with pytest.raises(KeyConflictError):
        await stores.keys.apply([new(replace(ONE, id="five"))])


async def test_of_two_who_saw_the_same_one_wins(stores: Stores) -> None:
    """The other is told, so no change is lost unseen."""
    await stores.keys.apply([new(ONE)])
    changes = [KeyChange(ONE, replace(ONE, tier=f"tier-{n}")) for n in range(20)]
    results = await asyncio.gather(
        *(stores.keys.apply([change]) for change in changes), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, KeyConflictError)]
    assert (len(refused), results.count(None)) == (19, 1)
    assert await stores.keys.find("one") == changes[results.index(None)].after


async def test_no_change_is_no_change(stores: Stores) -> None:
    """An empty list is done already."""
    await stores.keys.apply([])
    assert (await stores.changes.mark()).generation == 0


async def test_what_nobody_would_believe_is_not_written(stores: Stores) -> None:
    """A record is judged before it is stored, not when a worker meets it."""
    for wrong in (
        replace(ONE, tier="no tier"),
        replace(ONE, digest="canary"),
        replace(ONE, rate="10/fortnight"),
        replace(ONE, networks=("10.0.0.1/8",)),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - whatever the sentence
            await stores.keys.apply([new(wrong)])
        assert "canary" not in str(caught.value)
    assert await held(stores.keys) == {}


async def test_everybody_learns_of_every_change_in_order(stores: Stores) -> None:
    """New, changed and deleted records, one generation after the other."""
    start = await stores.changes.mark()
    changed = replace(ONE, disabled=True)
    await stores.keys.apply([new(ONE), new(TWO)])
    await stores.keys.apply([KeyChange(ONE, changed), gone(TWO)])

    assert await told(stores, start) == [
        ("one", ONE),
        ("two", TWO),
        ("one", changed),
        ("two", None),
    ]


async def test_who_waits_is_told_at_once(stores: Stores) -> None:
    """And told nothing, before long, while nothing changes."""
    start = await stores.changes.mark()
    async with asyncio.timeout(1):
        assert await stores.changes.wait(start) == News((), start)

    waiting = asyncio.create_task(stores.changes.wait(start))
    await asyncio.sleep(0.005)
    await stores.keys.apply([new(ONE)])
    async with asyncio.timeout(0.2):
        news = await waiting
    assert news.changes == [Version("one", 1, encode(ONE))]
    assert news.mark == await stores.changes.mark()


async def test_pages_hold_every_record_and_its_generation(stores: Stores) -> None:
    """However many there are, with what changed since the mark."""
    keys = [stored_key(f"key-{n}") for n in range(700)]
    await stores.keys.apply([new(key) for key in keys])
    start = await stores.changes.mark()
    await stores.keys.apply([gone(keys[0])])

    found: dict[str, Version] = {}
    cursor, is_last = 0, False
    while not is_last:
        page = await stores.changes.page(cursor, start)
        assert [(it.key_id, it.text) for it in page.news.changes] == [("key-0", None)]
        found |= {version.key_id: version for version in page.records}
        cursor, is_last = page.cursor, page.cursor == 0

    assert found == {
        key.id: Version(key.id, number, encode(key))
        for number, key in enumerate(keys, 1)
        if number > 1
    }


async def test_a_generation_beyond_what_is_told_shows(stores: Stores) -> None:
    """The check gives both at one moment, so that who follows can compare."""
    start = await stores.changes.mark()
    await stores.keys.apply([new(ONE)])
    generation, news = await stores.changes.check(start)
    assert generation == news.mark.generation == 1
    assert await stores.changes.check(news.mark) == (1, News((), news.mark))


async def test_uses_are_noted_until_the_key_is_gone(stores: Stores) -> None:
    """The latest note counts; keys that were never used have none."""
    await stores.keys.apply([new(ONE), new(TWO)])
    await stores.uses.note_used({"one": 1_900_000_000_000, "two": 1})
    await stores.uses.note_used({"one": 1_900_000_000_500})
    assert await stores.keys.last_used(["one", "two", "three"]) == {
        "one": 1_900_000_000_500,
        "two": 1,
    }
    assert await stores.keys.last_used([]) == {}

    await stores.keys.apply([gone(ONE)])
    assert await stores.keys.last_used(["one", "two"]) == {"two": 1}
