"""Passwords, users and databases, against a real server that asks for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.clock import SystemClock
from authz_service.core.rules import Charge, Period, Quota, Rate
from authz_service.errors import StoreError
from authz_service.storage.from_url import store_from_url
from tests.conformance.storage.server import VALKEY, Server

SECRET = "p@ss:w/ord%"
QUOTED = "p%40ss%3Aw%2Ford%25"
CHARGES = (
    Charge(Rate(name="per-minute", limit=5, window_ms=60_000), 1),
    Charge(Quota(name="per-day", limit=5, period=Period.DAY, zone="UTC"), 1),
)
# What docs/limits.md tells operators to allow.
COUNT = ["+evalsha", "+script|load", "+time", "+get", "+set", "+append", "+pexpireat"]
EVERYTHING = [*COUNT, "+del", "+client|setname"]
PAGE = Path(__file__).parents[3] / "docs" / "limits.md"


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server with a password and a user who may do no more than count."""
    with Server(VALKEY, password=SECRET) as server:
        for user, rights in (("counter", EVERYTHING), ("unnamed", COUNT)):
            server.admin.acl_setuser(
                user, enabled=True, passwords=[f"+{SECRET}"], keys=["authz:*"], commands=rights
            )
        yield server


async def count(url: str) -> int:
    """Charge once over a store of its own and return what is left of the first limit."""
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=2_000)
    try:
        return (await store.charge("key:a", CHARGES)).readings[0].remaining
    finally:
        await store.close()


def with_credentials(server: Server, credentials: str, query: str = "") -> str:
    """Put credentials into a socket's URL."""
    return f"unix://{credentials}@{server.socket}{query}"


@pytest.mark.parametrize("user", ["", "counter", "unnamed"])
async def test_the_right_password_counts(locked: Server, user: str) -> None:
    """A password alone, or a user whose rights are the documented ones, is enough."""
    locked.admin.flushall()
    locked.admin.script_flush()
    assert await count(with_credentials(locked, f"{user}:{QUOTED}")) == 4


async def test_the_documented_rights_are_enough_to_look_and_to_forget(locked: Server) -> None:
    """The page gives a user these rights and no more, and `peek` and `reset` get by on them."""
    assert f"~authz:* {' '.join(EVERYTHING)}\n" in PAGE.read_text()
    locked.admin.flushall()
    url = with_credentials(locked, f"counter:{QUOTED}")
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=2_000)
    await store.charge("key:a", CHARGES)
    assert [it.remaining for it in (await store.peek("key:a", CHARGES)).readings] == [4, 4]
    await store.reset("key:a", tuple(charge.limit for charge in CHARGES))
    assert [it.remaining for it in (await store.peek("key:a", CHARGES)).readings] == [5, 5]
    await store.close()


async def test_a_refused_reset_is_an_error(locked: Server) -> None:
    """A user who may not delete learns so, and the counters stay."""
    locked.admin.flushall()
    url = with_credentials(locked, f"unnamed:{QUOTED}")
    store = store_from_url(url, clock=SystemClock(), random=lambda: 0.5, timeout_ms=2_000)
    await store.charge("key:a", CHARGES)
    with pytest.raises(StoreError, match="refused: NOPERM"):
        await store.reset("key:a", tuple(charge.limit for charge in CHARGES))
    assert (await store.peek("key:a", CHARGES)).readings[0].remaining == 4
    await store.close()


@pytest.mark.parametrize(
    ("credentials", "told"),
    [(":wrong-secret", "AUTH: WRONGPASS"), ("nobody:wrong-secret", "AUTH: WRONGPASS")],
)
async def test_a_wrong_password_is_named_but_not_shown(
    locked: Server, credentials: str, told: str
) -> None:
    """The error says what is wrong and holds no part of the password."""
    with pytest.raises(StoreError, match=told) as caught:
        await count(with_credentials(locked, credentials))
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_missing_password_is_named(locked: Server) -> None:
    """A server that wants a password says so through us."""
    with pytest.raises(StoreError, match="NOAUTH"):
        await count(locked.url)


async def test_databases_are_apart(locked: Server) -> None:
    """The database in the URL is the one counted in."""
    locked.admin.flushall()
    for expected in (4, 3):
        for database in (0, 3):
            url = with_credentials(locked, f":{QUOTED}", f"?db={database}")
            assert await count(url) == expected
