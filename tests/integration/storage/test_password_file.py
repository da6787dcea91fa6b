"""Passwords in files: changed on the server and in the file, they work without a restart."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.errors import StoreError
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import key_store_from_url
from tests.conformance.storage.server import VALKEY, Server
from tests.integration.storage.topology import LIMIT, opened, recovered, remaining
from tests.servers.cluster import ClusterServers
from tests.servers.node import Node
from tests.servers.sentinels import SERVICE, SentinelServers

OLD = "canary-old-1"
NEW = "canary-new-2"
USER = "authz"
RIGHTS = "+evalsha +script|load +time +get +set +append +pexpireat +del +client|setname +role"


@pytest.fixture
def locked() -> Iterator[Server]:
    """A server with a password of its own."""
    with Server(VALKEY, password=OLD) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the old password."""
    file = tmp_path / "password"
    file.write_text(OLD + "\n")
    return file


def write(file: Path, text: str) -> None:
    """Put another password into a file."""
    file.write_text(text)


def remove(file: Path) -> None:
    """Take a file away."""
    file.unlink()


def rotate(server: Server) -> None:
    """Give a server another password, and end every session that the old one began."""
    server.admin.config_set("requirepass", NEW)
    server.admin.client_kill_filter(_type="normal", skipme=True)


async def lost(store: CounterStore) -> StoreError:
    """Charge until that fails for want of a password; return how."""
    while True:
        try:
            await remaining(store)
        except StoreError as error:
            if "AUTH" in str(error) or "password" in str(error):
                return error
        await asyncio.sleep(0.005)


async def test_a_password_is_rotated_under_a_running_store(locked: Server, file: Path) -> None:
    """File first or server first: the next log-in that fits works, and counting goes on."""
    async with opened(f"unix://{locked.socket}?password_file={file}") as store:
        assert await remaining(store) == LIMIT - 1
        rotate(locked)
        error = await lost(store)
        assert str(error) == "the counter store refused AUTH: WRONGPASS"
        write(file, NEW)
        async with asyncio.timeout(2.0):
            assert await recovered(store) == LIMIT - 2


async def test_a_file_that_is_empty_for_a_moment_is_read_again(locked: Server, file: Path) -> None:
    """No log-in without a password is tried meanwhile, and no text shows one."""
    async with opened(f"unix://{locked.socket}?password_file={file}") as store:
        write(file, "")
        with pytest.raises(StoreError, match="password file is empty"):
            await store.connect()
        remove(file)
        error = await lost(store)
        assert "password file cannot be read" in str(error) or "is empty" in str(error)
        assert "canary" not in f"{error!r}"
        write(file, OLD)
        async with asyncio.timeout(2.0):
            assert await recovered(store) == LIMIT - 1


async def test_a_wrong_password_in_a_file_is_named_but_not_shown(
    locked: Server, file: Path
) -> None:
    """As one in the URL is, with a user and without."""
    write(file, "canary-wrong")
    for user in ("", "nobody@"):
        async with opened(f"unix://{user}{locked.socket}?password_file={file}") as store:
            with pytest.raises(StoreError, match="refused AUTH: WRONGPASS") as caught:
                await store.connect()
            assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_the_key_store_reads_the_file_at_every_connection(locked: Server, file: Path) -> None:
    """Rotated, the old sessions gone: the next question logs in with what the file says now."""
    store = key_store_from_url(f"unix://{locked.socket}?password_file={file}")
    assert await store.find("0" * 16) is None
    rotate(locked)
    with pytest.raises(StoreError) as caught:
        await store.find("0" * 16)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
    write(file, "")
    with pytest.raises(StoreError, match="password file is empty"):
        await store.find("0" * 16)
    write(file, NEW + "\n")
    assert await store.find("0" * 16) is None
    await store.close()


def give_user(node: Node, password: str, *, extra: str = "") -> None:
    """Let a node know one user with the rights that the documentation lists."""
    words = f"reset on >{password} ~authz:* {RIGHTS} {extra}".split()
    node.ask("ACL", "SETUSER", USER, *words)


@pytest.mark.slow
async def test_a_password_is_rotated_behind_sentinels(
    sentinels: SentinelServers, file: Path, tmp_path: Path
) -> None:
    """Servers and sentinels each have their own user and file, and both may change."""
    theirs = tmp_path / "sentinel"
    write(theirs, "canary-watch\n")
    servers = [sentinels.nodes[port] for port in sentinels.servers]
    watchers = [sentinels.nodes[port] for port in sentinels.sentinels]
    login = f"password_file={file}&sentinel_username={USER}&sentinel_password_file={theirs}"
    places = ",".join(f"127.0.0.1:{port}" for port in sentinels.sentinels)
    try:
        for node in servers:
            give_user(node, OLD)
        for node in watchers:
            words = "reset on >canary-watch +sentinel|get-master-addr-by-name +client|setname"
            node.ask("ACL", "SETUSER", USER, *words.split())
        async with opened(f"redis+sentinel://{USER}@{places}/{SERVICE}?{login}") as store:
            await store.connect()
            assert await remaining(store) == LIMIT - 1
            for node in servers:
                give_user(node, NEW)
                node.ask("CLIENT", "KILL", "USER", USER)
            write(file, NEW)
            async with asyncio.timeout(3.0):
                assert await recovered(store) == LIMIT - 2
            write(theirs, "canary-wrong")
            for node in servers:
                node.ask("CLIENT", "KILL", "USER", USER)
            await asyncio.sleep(0.02)
            with pytest.raises(StoreError, match=r"no sentinel of .* names a primary") as caught:
                await store.connect()
            assert "canary" not in f"{caught.value!r}"
    finally:
        for node in (*servers, *watchers):
            node.ask("ACL", "DELUSER", USER)


@pytest.mark.slow
async def test_a_password_is_rotated_in_a_cluster(cluster: ClusterServers, file: Path) -> None:
    """Node after node gets it; a user with the documented rights can do all that is needed."""
    nodes = list(cluster.nodes.values())
    url = cluster.url.replace("://", f"://{USER}@") + f"?password_file={file}"
    try:
        for node in nodes:
            give_user(node, OLD, extra="+cluster|slots +asking")
        async with opened(url) as store:
            await store.connect()
            assert await remaining(store) == LIMIT - 1
            write(file, NEW)
            for node in nodes:
                give_user(node, NEW, extra="+cluster|slots +asking")
                node.ask("CLIENT", "KILL", "USER", USER)
            async with asyncio.timeout(3.0):
                assert await recovered(store) == LIMIT - 2
            await store.connect()
    finally:
        for node in nodes:
            node.ask("ACL", "DELUSER", USER)
