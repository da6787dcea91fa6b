"""What `JobStore` promises when several processes use it at once, and when the server dies."""

import asyncio
from collections.abc import Iterator

import pytest

from image_service.errors import QueueFullError, StoreFullError
from image_service.jobs import KEPT_MS, Job
from image_service.storage.base import Claim, JobStore
from image_service.storage.redis.client import open_client
from image_service.storage.redis.jobs import RedisJobStore
from tests.conformance.image_service.conftest import NOW, RESULT, MakeStore, a_job
from tests.conformance.storage.server import VALKEY, Server

_PROCESSES = 5
_EACH = 20


async def _outcome(store: JobStore, job: Job) -> type[Exception] | None:
    try:
        await store.create(job, now_ms=NOW)
    except (QueueFullError, StoreFullError) as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("queue_limit", "max_jobs", "refusal"), [(7, 1_000, QueueFullError), (1_000, 7, StoreFullError)]
)
async def test_a_bound_holds_over_all_processes(
    make_store: MakeStore, queue_limit: int, max_jobs: int, refusal: type[Exception]
) -> None:
    """Exactly as many jobs are kept as may, and everybody else is told why."""
    stores = [make_store(queue_limit=queue_limit, max_jobs=max_jobs) for _ in range(_PROCESSES)]
    outcomes = await asyncio.gather(
        *(
            _outcome(store, a_job(f"{place}-{number}"))
            for place, store in enumerate(stores)
            for number in range(_EACH)
        )
    )
    assert outcomes.count(None) == 7
    assert outcomes.count(refusal) == _PROCESSES * _EACH - 7
    assert await stores[0].waiting() == 7


async def test_of_claimants_in_several_processes_one_gets_the_key(make_store: MakeStore) -> None:
    """All see the same holder."""
    stores = [make_store() for _ in range(_PROCESSES)]
    claims = await asyncio.gather(
        *(
            store.claim("key:a", "k", f"{place}-{number}", now_ms=NOW)
            for place, store in enumerate(stores)
            for number in range(_EACH)
        )
    )
    assert len(set(claims)) == 1


async def test_of_movers_in_several_processes_one_wins(make_store: MakeStore) -> None:
    """And its move is what is kept."""
    stores = [make_store() for _ in range(_PROCESSES)]
    await stores[0].create(a_job(), now_ms=NOW)
    moves = [a_job().cancelled(NOW + place) for place in range(_PROCESSES)]
    wins = await asyncio.gather(
        *(store.update(move) for store, move in zip(stores, moves, strict=True))
    )
    assert wins.count(True) == 1
    assert await stores[0].get("key:a", "1", now_ms=NOW) == moves[wins.index(True)]


async def test_what_expired_is_told_to_one_process_only(make_store: MakeStore) -> None:
    """Together they are told of every job, each once."""
    stores = [make_store() for _ in range(_PROCESSES)]
    for number in range(300):
        await stores[0].create(a_job(str(number)), now_ms=NOW)
    told = await asyncio.gather(*(store.expire(now_ms=NOW + KEPT_MS) for store in stores))
    ids = [int(job.job_id) for jobs in told for job in jobs]
    assert sorted(ids) == list(range(300))


async def test_waiting_ends_when_another_process_finishes_the_job(make_store: MakeStore) -> None:
    """The one that waits has not heard of it in any other way."""
    here, there = make_store(), make_store()
    await here.create(a_job(), now_ms=NOW)
    waiting = asyncio.create_task(here.settled("key:a", "1", now_ms=NOW, timeout_s=3_600))
    running = a_job().started(NOW)
    await there.update(running)
    await there.update(running.succeeded(RESULT, NOW))
    assert await waiting == running.succeeded(RESULT, NOW)


@pytest.fixture
def mortal() -> Iterator[Server]:
    """A server that a test may kill."""
    with Server(VALKEY, keeps_data=True) as server:
        server.admin.config_set("appendfsync", "always")
        yield server


async def test_what_was_accepted_survives_the_death_of_the_server(mortal: Server) -> None:
    """Jobs, moves, deletions and claims stand as they were answered; so do the bounds."""
    store = RedisJobStore(open_client(mortal.url), queue_limit=2, max_jobs=100)
    await store.create(a_job("kept", key="k"), now_ms=NOW)
    await store.create(a_job("moved"), now_ms=NOW)
    await store.update(a_job("moved").started(NOW))
    await store.create(a_job("gone"), now_ms=NOW)
    await store.delete("key:a", "gone")
    await store.claim("key:a", "open", "1", now_ms=NOW)
    # In a thread: meanwhile the event loop hears that its connections are lost.
    await asyncio.to_thread(mortal.kill)
    await asyncio.to_thread(mortal.start)
    assert await store.get("key:a", "kept", now_ms=NOW) == a_job("kept", key="k")
    assert await store.get("key:a", "moved", now_ms=NOW) == a_job("moved").started(NOW)
    assert await store.known(["kept", "moved", "gone"]) == {"kept", "moved"}
    assert await store.claim("key:a", "k", "2", now_ms=NOW) == Claim("kept", "print")
    assert await store.claim("key:a", "open", "2", now_ms=NOW) == Claim("1", None)
    assert await store.waiting() == 1
    await store.create(a_job("last"), now_ms=NOW)
    with pytest.raises(QueueFullError):
        await store.create(a_job("one more"), now_ms=NOW)
    await store.close()
