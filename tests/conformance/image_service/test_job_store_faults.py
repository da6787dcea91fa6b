"""What becomes of a job store whose server holds nonsense, refuses, or does not answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from image_service.errors import StoreError
from image_service.jobs import KEPT_MS
from image_service.storage.base import JobStore
from image_service.storage.redis import client as client_module
from image_service.storage.redis.client import open_client
from image_service.storage.redis.durability import check_durability
from image_service.storage.redis.jobs import CLAIM_KEPT_MS, RedisJobStore
from image_service.storage.redis.names import EXPIRY, QUEUED, UNFINISHED, claim_key, job_key
from tests.conformance.image_service.conftest import NOW, MakeStore, a_job
from tests.conformance.storage.server import Server

_CANARY: Final = "canary-of-a-password"

Ask = Callable[[JobStore], Awaitable[object]]
_CHANGES: Final[dict[str, Ask]] = {
    "claim": lambda store: store.claim("key:a", "k", "1", now_ms=NOW),
    "create": lambda store: store.create(a_job("new", key="k"), now_ms=NOW),
    "update": lambda store: store.update(a_job("1").started(NOW)),
    "delete": lambda store: store.delete("key:a", "1"),
    "expire": lambda store: store.expire(now_ms=NOW + KEPT_MS),
}
_QUESTIONS: Final[dict[str, Ask]] = {
    **_CHANGES,
    "release": lambda store: store.release("key:a", "k", "1"),
    "get": lambda store: store.get("key:a", "1", now_ms=NOW),
    "settled": lambda store: store.settled("key:a", "1", now_ms=NOW, timeout_s=60),
    "waiting": lambda store: store.waiting(),
    "has_room": lambda store: store.has_room(),
    "unfinished": lambda store: store.unfinished(created_before_ms=NOW + 1),
    "known": lambda store: store.known(["1"]),
}
# To all of these a server may reply anything: their replies say nothing.
_SILENT: Final = {"release"}

_REFUSALS: Final = {
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "noscript": b"-NOSCRIPT No matching script.\r\n",
    "misconf": b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "noperm": b"-NOPERM this user has no permissions\r\n",
    "noauth": b"-NOAUTH Authentication required.\r\n",
    "told": b"-ERR " + _CANARY.encode() + b"\r\n",
}
_NONSENSE: Final = {
    "number": b":77\r\n",
    "negative": b":-77\r\n",
    "text": b"$3\r\nabc\r\n",
    "nested": b"*2\r\n*0\r\n*0\r\n",
    "odd": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "end": b"",
}


@asynccontextmanager
async def _answering(folder: Path, reply: bytes | None) -> AsyncIterator[JobStore]:
    """A store whose server gives one reply to everything; nothing at all for None."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while reply is not None and await reader.read(100_000):
            writer.write(reply)
            if not reply:
                break
        if reply is None:
            await gone.wait()
        writer.close()

    path = str(folder / "s")
    server = await asyncio.start_unix_server(serve, path)
    store = RedisJobStore(open_client(f"unix://{path}"), queue_limit=10, max_jobs=10)
    try:
        yield store
    finally:
        gone.set()
        await store.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("question", _QUESTIONS)
@pytest.mark.parametrize("refusal", _REFUSALS)
async def test_a_refusal_is_a_store_error(tmp_path: Path, refusal: str, question: str) -> None:
    """Whatever the server refuses with; its own words are not passed on."""
    async with _answering(tmp_path, _REFUSALS[refusal]) as store:
        with pytest.raises(StoreError) as caught:
            await _QUESTIONS[question](store)
    assert _CANARY not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("question", _QUESTIONS.keys() - _SILENT)
@pytest.mark.parametrize("reply", _NONSENSE)
async def test_nonsense_is_never_believed(tmp_path: Path, reply: str, question: str) -> None:
    """A reply that does not fit the question raises, or is a fact that it can mean."""
    meaning = {
        ("number", "waiting"): 77,
        ("number", "has_room"): False,
    }
    async with _answering(tmp_path, _NONSENSE[reply]) as store:
        if (reply, question) in meaning:
            assert await _QUESTIONS[question](store) == meaning[reply, question]
            return
        with pytest.raises(StoreError):
            await _QUESTIONS[question](store)


@pytest.mark.parametrize("question", _QUESTIONS)
async def test_silence_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    """A server that accepts a connection and says nothing is no longer waited for."""
    monkeypatch.setattr(client_module, "TIMEOUT_S", 0.05)
    async with _answering(tmp_path, None) as store:
        with pytest.raises(StoreError, match="TimeoutError"):
            await _QUESTIONS[question](store)


@pytest.mark.parametrize("question", _QUESTIONS)
async def test_no_server_is_a_store_error(tmp_path: Path, question: str) -> None:
    """Nobody listens there."""
    store = RedisJobStore(open_client(f"unix://{tmp_path}/none"), queue_limit=1, max_jobs=1)
    with pytest.raises(StoreError, match="does not answer") as caught:
        await _QUESTIONS[question](store)
    assert str(tmp_path) not in str(caught.value)
    await store.close()


@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize("state", ["read-only", "out of memory"])
async def test_what_cannot_be_written_changes_nothing(
    make_store: MakeStore, server: Server, state: str, change: str
) -> None:
    """A server that takes no writes is an error, not an answer; then all is as it was."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    before = _everything(server)
    if state == "read-only":
        server.admin.replicaof("127.0.0.1", "1")
    else:
        server.admin.config_set("maxmemory", "1")
    try:
        if state == "out of memory" and change in {"delete", "expire"}:
            assert await _CHANGES[change](store)  # these make room
            return
        with pytest.raises(StoreError, match="refused"):
            await _CHANGES[change](store)
        assert _everything(server) == before
    finally:
        server.admin.replicaof("NO", "ONE")
        server.admin.config_set("maxmemory", "0")


def _everything(server: Server) -> dict[bytes | str, object]:
    return {key: server.admin.dump(key) for key in server.admin.keys("*")}


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b"9" * 10_000, b'{"job_id":"1"}'],
    ids=range(7),
)
async def test_a_job_that_makes_no_sense_is_an_error(
    make_store: MakeStore, server: Server, document: bytes
) -> None:
    """And not a job that does not exist: nobody overwrites or repeats it."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    server.admin.hset(job_key("1"), "document", document)
    with pytest.raises(StoreError):
        await store.get("key:a", "1", now_ms=NOW)


async def test_a_job_under_the_name_of_another_is_an_error(
    make_store: MakeStore, server: Server
) -> None:
    """A document says itself which job it is."""
    store = make_store()
    await store.create(a_job(), now_ms=NOW)
    server.admin.rename(job_key("1"), job_key("2"))
    with pytest.raises(StoreError):
        await store.get("key:a", "2", now_ms=NOW)


@pytest.mark.parametrize(
    ("question", "key"),
    [
        ("get", job_key("1")),
        ("update", job_key("1")),
        ("delete", job_key("1")),
        ("create", job_key("new")),
        ("create", claim_key("key:a", "k")),
        ("create", QUEUED),
        ("create", EXPIRY),
        ("claim", claim_key("key:a", "k")),
        ("release", claim_key("key:a", "k")),
    ],
)
async def test_another_type_of_key_is_an_error(
    make_store: MakeStore, server: Server, question: str, key: bytes
) -> None:
    """What somebody else put where ours belongs is not ours to replace, and nothing is done."""
    store = make_store()
    server.admin.set(key, "foreign")
    before = _everything(server)
    with pytest.raises(StoreError, match="refused"):
        await _QUESTIONS[question](store)
    assert _everything(server) == before


async def test_a_claim_that_makes_no_sense_is_an_error(
    make_store: MakeStore, server: Server
) -> None:
    """It is neither taken over nor believed."""
    store = make_store()
    server.admin.hset(claim_key("key:a", "k"), mapping={"job_id": "2", "until_ms": "soon"})
    with pytest.raises(StoreError):
        await store.claim("key:a", "k", "1", now_ms=NOW)


async def test_one_broken_job_does_not_hold_up_the_others(
    make_store: MakeStore, server: Server
) -> None:
    """The sound ones are told, the broken are forgotten in time, and the log names them."""
    store = make_store()
    for number in range(4):
        await store.create(a_job(str(number), key=str(number)), now_ms=NOW)
    server.admin.hset(job_key("0"), "document", b"nonsense")
    server.admin.set(job_key("1"), "foreign")
    server.admin.delete(job_key("2"))
    sound = (a_job("3", key="3"),)
    with capture_logs() as logs:
        for _ in range(3):  # it is asked every few seconds, and says the same only once
            assert await store.unfinished(created_before_ms=NOW + 1) == sound
        assert await store.expire(now_ms=NOW + KEPT_MS) == sound
    assert sorted(str(line["job_id"]) for line in logs) == ["0", "0", "1", "1", "2", "2"]
    assert await store.expire(now_ms=NOW + KEPT_MS) == ()
    assert [server.admin.zcard(key) for key in (EXPIRY, QUEUED, UNFINISHED)] == [0, 0, 0]


async def test_nothing_stays_for_ever(make_store: MakeStore, server: Server) -> None:
    """Should nobody ever tidy up, the server forgets jobs and claims itself, but not too early."""
    store = make_store()
    await store.claim("key:a", "open", "2", now_ms=NOW)
    await store.create(a_job(key="k"), now_ms=NOW + 1_000)
    await store.update(a_job(key="k").started(NOW))
    for key, kept_ms in (
        (job_key("1"), KEPT_MS - 1_000),
        (claim_key("key:a", "k"), KEPT_MS - 1_000),
        (claim_key("key:a", "open"), CLAIM_KEPT_MS),
    ):
        margin_ms = server.admin.pttl(key) - kept_ms
        assert 3_540_000 < margin_ms <= 3_600_000, key


async def test_a_half_told_expiry_is_told(make_store: MakeStore) -> None:
    """When the server fails on the way, those that are forgotten already are not kept back."""
    store = make_store()
    for number in range(101):
        await store.create(a_job(str(number)), now_ms=NOW)
    original = store._expire  # type: ignore[attr-defined]
    rounds = 0

    async def failing(**arguments: object) -> object:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise OSError
        return await original(**arguments)

    store._expire = failing  # type: ignore[attr-defined]
    assert len(await store.expire(now_ms=NOW + KEPT_MS)) == 100
    with pytest.raises(StoreError):
        await store.expire(now_ms=NOW + KEPT_MS)


async def test_a_lost_script_is_sent_again(make_store: MakeStore, server: Server) -> None:
    """A server that was restarted knows none."""
    store = make_store()
    await store.create(a_job("1"), now_ms=NOW)
    server.admin.script_flush()
    await store.create(a_job("2"), now_ms=NOW)
    assert await store.waiting() == 2


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("appendonly", "no", ["appendonly"]),
        ("appendfsync", "everysec", ["appendfsync"]),
        ("maxmemory-policy", "allkeys-lru", ["maxmemory-policy"]),
        ("appendfsync", "always", []),
    ],
)
async def test_what_is_not_durable_is_said(
    server: Server, setting: str, value: str, named: list[str]
) -> None:
    """One sentence for each setting by which accepted jobs may be lost."""
    before = server.admin.config_get(setting)
    client = open_client(server.url)
    server.admin.config_set(setting, value)
    try:
        risks = await check_durability(client)
    finally:
        server.admin.config_set(setting, str(before[setting]))
        await client.aclose()
    assert [risk.split()[0] for risk in risks] == named


@pytest.mark.parametrize("reply", [b"-NOPERM no\r\n", b"-ERR unknown command\r\n", b"*0\r\n"])
async def test_a_server_that_hides_its_settings_is_said_to(tmp_path: Path, reply: bytes) -> None:
    """Managed servers do; that is one sentence, no error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100_000):
            writer.write(reply)
        writer.close()

    listener = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
    client = open_client(f"unix://{tmp_path}/s")
    risks = await check_durability(client)
    await client.aclose()
    listener.close()
    assert len(risks) == 1
    assert "cannot be checked" in risks[0]
