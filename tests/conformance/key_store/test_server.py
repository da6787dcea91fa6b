"""A key store on a server: names and bytes, what it needs, and what it says of faults."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from authz_service.errors import StoreError
from authz_service.identity.key_store import KeyChange, KeyConflictError
from authz_service.storage.keys.client import KeyServer
from authz_service.storage.keys.store import RedisKeyStore
from authz_service.storage.redis.url import parse_endpoint
from authz_service.testing.builders import PlantedSecrets, stored_key
from tests.conformance.key_store.conftest import Stores, opened
from tests.conformance.storage.server import VALKEY, Server

ONE = stored_key("one", subject="acme", scopes=("read",))
GUIDE = Path(__file__).parents[3] / "docs" / "keys.md"
TEXT = (
    b'{"id":"one","digest":"%s","name":"A key","subject":"acme","tier":"free","scopes":["read"],'
    b'"created_at_ms":1900000000000}' % ONE.digest.encode()
)


@pytest_asyncio.fixture
async def stores(server: Server) -> AsyncIterator[Stores]:
    """The store on each server."""
    async with opened(server) as stores:
        yield stores


async def test_names_and_bytes_are_what_they_were(stores: Stores, server: Server) -> None:
    """Other versions of this program read them too."""
    await stores.keys.apply([KeyChange(None, ONE)])
    await stores.keys.apply([KeyChange(None, stored_key("two"))])
    await stores.keys.apply([KeyChange(stored_key("two"), None)])
    await stores.uses.note_used({"one": 1_900_000_000_000})

    admin = server.admin
    assert sorted(admin.keys("*")) == [
        b"authz:{1:keys}:changes",
        b"authz:{1:keys}:digests",
        b"authz:{1:keys}:generation",
        b"authz:{1:keys}:records",
        b"authz:{1:keys}:used",
    ]
    assert admin.hgetall("authz:{1:keys}:records") == {b"one": b"1 " + TEXT}
    assert admin.hgetall("authz:{1:keys}:digests") == {ONE.digest.encode(): b"one"}
    assert admin.get("authz:{1:keys}:generation") == b"3"
    assert admin.hgetall("authz:{1:keys}:used") == {b"one": b"1900000000000"}
    entries = [fields for _, fields in admin.xrange("authz:{1:keys}:changes") or ()]
    assert entries[0] == {b"generation": b"1", b"id": b"one", b"record": TEXT}
    assert entries[2] == {b"generation": b"3", b"id": b"two"}


async def test_the_stream_does_not_grow_for_ever(stores: Stores, server: Server) -> None:
    """About ten thousand changes are kept."""
    keys = [stored_key(f"key-{n}") for n in range(12_000)]
    await stores.keys.apply([KeyChange(None, key) for key in keys])
    assert 10_000 <= server.admin.xlen("authz:{1:keys}:changes") <= 10_200


async def test_a_user_needs_what_the_guide_grants(server: Server) -> None:
    """The ACL of the guide is enough for everything, and is a user's password away."""
    guide = GUIDE.read_text(encoding="utf-8").splitlines()
    (rule,) = [line for line in guide if line.startswith("ACL SETUSER authz-keys")]
    name, *rights = rule.replace(">PASSWORD", ">pass-word").split()[2:]
    server.admin.execute_command("ACL", "SETUSER", name, "reset", *rights)  # type: ignore[no-untyped-call]
    url = server.url.replace("unix://", f"unix://{name}:pass-word@")
    async with opened(server, url=url) as stores:
        await stores.keys.apply([KeyChange(None, ONE)])
        with pytest.raises(KeyConflictError):
            await stores.keys.apply([KeyChange(None, ONE)])
        assert await stores.keys.find("one") == ONE
        assert [key async for key in stores.keys.all()] == [ONE]
        await stores.uses.note_used({"one": 5})
        assert await stores.keys.last_used(["one"]) == {"one": 5}
        mark = await stores.changes.mark()
        await stores.changes.page(0, mark)
        await stores.changes.wait(mark)
        await stores.changes.check(mark)


async def test_a_server_that_forgot_the_script_is_told_it_again(
    stores: Stores, server: Server
) -> None:
    """Scripts do not survive a restart."""
    await stores.keys.apply([KeyChange(None, ONE)])
    server.admin.script_flush()
    await stores.keys.apply([KeyChange(ONE, replace(ONE, tier="pro"))])


async def test_a_record_that_makes_no_sense_stops_nobody(stores: Stores, server: Server) -> None:
    """It is left out of the list, and named by whoever asks for it."""
    await stores.keys.apply([KeyChange(None, ONE)])
    server.admin.hset("authz:{1:keys}:records", "bad", b'2 {"id":"canary"}')
    server.admin.hset("authz:{1:keys}:records", "worse", b"\xff canary")

    assert [key async for key in stores.keys.all()] == [ONE]
    for name in ("bad", "worse"):
        with pytest.raises(StoreError, match=f"record of {name} makes no sense") as caught:
            await stores.keys.find(name)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authz:{1:keys}:records", "canary"),
        ("authz:{1:keys}:changes", "canary"),
        ("authz:{1:keys}:generation", "canary"),
    ],
)
async def test_nonsense_of_a_server_is_a_store_error(
    stores: Stores, server: Server, key: str, value: str
) -> None:
    """Whatever somebody wrote there; none of it is repeated."""
    server.admin.set(key, value)
    with pytest.raises(StoreError) as caught:
        await stores.changes.page(0, await stores.changes.mark())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"some": "thing"}, {"generation": "x", "id": "one"}])
async def test_an_entry_of_somebody_else_is_no_change(
    stores: Stores, server: Server, fields: dict[str, str]
) -> None:
    """It has no generation that could be the next one, or it is nonsense."""
    start = await stores.changes.mark()
    server.admin.xadd("authz:{1:keys}:changes", fields)  # type: ignore[arg-type]
    try:
        news = await stores.changes.wait(start)
    except StoreError:
        return
    assert [change.generation for change in news.changes] == [-1]


@pytest.mark.parametrize("user", ["", "somebody"])
async def test_a_wrong_password_is_a_store_error_without_it(
    user: str, planted_secrets: PlantedSecrets
) -> None:
    """The server's words are left out, for they may quote it."""
    with Server(VALKEY, password="the-right-one") as server:
        url = server.url.replace("unix://", f"unix://{user}:{planted_secrets.password}@")
        store = RedisKeyStore(KeyServer(parse_endpoint(url)))
        with pytest.raises(StoreError) as caught:
            await store.find("one")
        assert str(caught.value).endswith("refused: AuthenticationError")
        told = f"{caught.value!r} {caught.value.__cause__!r} {store!r} {vars(store._server)!r}"
        assert planted_secrets.found_in(told) == []
        await store.close()


async def test_no_server_is_a_store_error() -> None:
    """Named by its address."""
    store = RedisKeyStore(KeyServer(parse_endpoint("redis://:canary@127.0.0.1:1/0")))
    with pytest.raises(StoreError) as caught:
        await store.find("one")
    assert str(caught.value) == (
        "the key store at redis://127.0.0.1:1/0 does not answer: ConnectionError"
    )
    await store.close()


async def test_a_server_that_says_nothing_is_a_store_error(server: Server) -> None:
    """Nobody waits longer than the deadline."""
    store = RedisKeyStore(KeyServer(parse_endpoint(server.url), timeout_s=0.1))
    assert await store.find("one") is None
    server.pause()
    try:
        with pytest.raises(StoreError, match="does not answer: TimeoutError"):
            await store.find("one")
    finally:
        server.resume()
    assert await store.find("one") is None
    await store.close()
