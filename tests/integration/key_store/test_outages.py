"""The server of a key store dies, hangs, comes back, or lets nobody in."""

import pytest
from structlog.testing import capture_logs

from authz_service.identity.key_store import KeyChange, KeyStore
from authz_service.testing.builders import PlantedSecrets, stored_key
from tests.conformance.storage.server import VALKEY, Server
from tests.integration.key_store.conftest import Follower, make, soon

ONE, TWO = stored_key("one"), stored_key("two")


async def until_unknown_keys_get_503(follower: Follower) -> None:
    """Wait for what is said once the store has been silent for a second and a half."""
    await soon(lambda: follower.tier("nobody") == "key_store_unavailable", within_s=4)


async def until_fresh(follower: Follower) -> None:
    """Wait until everything has been read again."""
    await soon(lambda: follower.tier("nobody") == "unknown_key")


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_while_the_server_is_away_known_keys_go_on(
    store: KeyStore, follower: Follower, server: Server, fault: str
) -> None:
    """And unknown ones are not refused; a server that hangs is no better than a dead one."""
    await make(store, ONE)
    await soon(lambda: follower.tier("one") == "free")

    if fault == "kill":
        server.kill()
    else:
        server.pause()

    await until_unknown_keys_get_503(follower)
    assert follower.tier("one") == "free"
    if fault == "pause":
        server.resume()
        await until_fresh(follower)
        assert follower.tier("one") == "free"


async def test_a_known_key_does_not_go_on_for_ever(store: KeyStore, server: Server) -> None:
    """Beyond the limit nothing is said of it any more."""
    await make(store, ONE)
    follower = Follower(server.url, max_stale_ms=2_000)
    async with follower.running():
        await soon(lambda: follower.tier("one") == "free")
        server.kill()
        await soon(lambda: follower.tier("one") == "key_store_unavailable", within_s=4)


async def test_a_server_that_comes_back_empty_has_no_keys(
    store: KeyStore, follower: Follower, server: Server
) -> None:
    """Its word counts; and keys that are made then are known, though it counts from one again."""
    await make(store, ONE)
    await soon(lambda: follower.tier("one") == "free")
    server.kill()
    await until_unknown_keys_get_503(follower)

    server.start()
    await soon(lambda: follower.tier("one") == "unknown_key")
    await make(store, TWO)
    await soon(lambda: follower.tier("two") == "free", within_s=1)


async def test_a_server_that_comes_back_with_its_data_is_taken_at_its_word(
    store: KeyStore, follower: Follower, server: Server
) -> None:
    """What was saved is there; what was done after that is undone; the rest goes on."""
    await make(store, ONE)
    server.admin.save()
    await store.apply([KeyChange(ONE, None), KeyChange(None, TWO)])
    await soon(lambda: follower.tier("two") == "free")
    server.kill()
    server.start()

    await soon(lambda: follower.tier("two") == "unknown_key")
    assert follower.tier("one") == "free"
    await store.apply([KeyChange(ONE, None)])
    await soon(lambda: follower.tier("one") == "unknown_key", within_s=1)


async def test_a_server_that_starts_after_the_worker_is_found(server: Server) -> None:
    """The worker serves what it has until then."""
    server.kill()
    follower = Follower(server.url)
    async with follower.running():
        assert follower.tier("one") == "key_store_unavailable"
        server.start()
        await until_fresh(follower)


async def test_a_wrong_password_is_told_without_it(planted_secrets: PlantedSecrets) -> None:
    """Once, and no key is refused for it."""
    with Server(VALKEY, password="the-right-one") as server, capture_logs() as logs:
        url = server.url.replace("unix://", f"unix://:{planted_secrets.password}@")
        follower = Follower(url)
        async with follower.running():
            await soon(lambda: bool(logs))
            assert follower.tier("one") == "key_store_unavailable"
            assert planted_secrets.found_in(repr(vars(follower)) + repr(vars(follower.feed))) == []
    (line,) = logs
    assert line["error"].endswith("refused: AuthenticationError")
    assert planted_secrets.found_in(str(logs)) == []
