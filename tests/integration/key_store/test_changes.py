"""Changes reach every worker at once, and none is lost, whatever goes wrong in between."""

import asyncio
from dataclasses import replace

from authz_service.core.verdict import Reason
from authz_service.identity.key_codec import encode
from authz_service.identity.key_store import KeyChange, KeyStore
from authz_service.testing.builders import stored_key
from tests.conformance.storage.server import Server
from tests.integration.key_store.conftest import Follower, make, soon

ONE, TWO = stored_key("one"), stored_key("two")
AT_ONCE_S = 1.0


async def test_every_worker_learns_of_every_change_within_a_second(
    store: KeyStore, followers: tuple[Follower, Follower]
) -> None:
    """A new key, another tier, a revocation."""
    changed = replace(ONE, tier="pro")
    for change, tier in (
        (KeyChange(None, ONE), "free"),
        (KeyChange(ONE, changed), "pro"),
        (KeyChange(changed, None), "unknown_key"),
    ):
        await store.apply([change])
        await soon(
            lambda: {it.tier("one") for it in followers} == {tier},  # noqa: B023 - asked here only
            within_s=AT_ONCE_S,
        )


async def test_a_lost_stream_is_noticed(
    store: KeyStore, follower: Follower, server: Server
) -> None:
    """The generation has moved and nobody told: everything is read anew."""
    await make(store, ONE)
    await soon(lambda: follower.tier("one") == "free")

    with server.admin.pipeline(transaction=True) as pipe:
        pipe.hset("authz:{1:keys}:records", "two", f"2 {encode(TWO).decode()}")
        pipe.hdel("authz:{1:keys}:records", "one")
        pipe.incr("authz:{1:keys}:generation", 2)
        pipe.delete("authz:{1:keys}:changes")
        pipe.execute()

    await soon(lambda: follower.tier("two") == "free", within_s=AT_ONCE_S)
    await soon(lambda: follower.tier("one") == "unknown_key", within_s=AT_ONCE_S)
    await make(store, stored_key("three"))
    await soon(lambda: follower.tier("three") == "free", within_s=AT_ONCE_S)


async def test_an_emptied_store_is_noticed(
    store: KeyStore, follower: Follower, server: Server
) -> None:
    """All keys are gone; new ones are found though they count from one again."""
    await make(store, ONE, TWO)
    await soon(lambda: follower.tier("two") == "free")
    server.admin.flushall()
    await soon(lambda: follower.tier("one") == "unknown_key", within_s=AT_ONCE_S)
    await make(store, TWO)
    await soon(lambda: follower.tier("two") == "free", within_s=AT_ONCE_S)


async def test_more_changes_than_are_kept_are_no_loss(store: KeyStore, server: Server) -> None:
    """A worker that was away for 15,000 changes reads everything anew."""
    follower = Follower(server.url)
    await make(store, ONE)
    async with follower.running():
        await soon(lambda: follower.tier("one") == "free")
        await make(store, *[stored_key(f"key-{n}") for n in range(15_000)])
        await store.apply([KeyChange(ONE, None)])
        await soon(lambda: follower.tier("one") == "unknown_key")
        await soon(lambda: follower.tier("key-14999") == "free")
        await soon(lambda: len(follower.keys) == 15_000)


async def test_a_key_that_is_revoked_during_a_load_never_comes_back(
    store: KeyStore, server: Server
) -> None:
    """From the moment on at which the revocation is known, whatever page is still to come."""
    keys = [stored_key(f"key-{n:04}") for n in range(3_000)]
    await make(store, *keys)
    follower = Follower(server.url)
    async with follower.running():
        await soon(lambda: follower.loads == 1)
        for _ in range(3):
            server.admin.incr("authz:{1:keys}:generation")
            loads = follower.loads
            await asyncio.sleep(0)
            doomed = keys.pop()
            await store.apply([KeyChange(doomed, None)])
            revoked = False
            while follower.loads == loads:
                is_known = not isinstance(follower.find(doomed.id), Reason)
                assert not (revoked and is_known)
                revoked = revoked or not is_known
                await asyncio.sleep(0)
            assert follower.tier(doomed.id) in {"unknown_key", "key_store_unavailable"}
    assert len(follower.keys) == len(keys)


async def test_uses_reach_the_store(store: KeyStore, follower: Follower) -> None:
    """Of the keys that were used, and of no others."""
    await make(store, ONE, TWO)
    await soon(lambda: follower.tier("one") == "free")

    async def used() -> set[str]:
        return set(await store.last_used(["one", "two"]))

    async with asyncio.timeout(AT_ONCE_S):
        while await used() != {"one"}:  # noqa: ASYNC110 - the store tells nobody of uses
            await asyncio.sleep(0.01)
