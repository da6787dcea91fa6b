"""What the queue promises, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
from saq import Job as SaqJob

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import StoreError
from image_service.jobs import Job
from image_service.queue import LEASE_S, Delivery
from image_service.settings import MAX_WORKERS
from image_service.storage.redis.client import open_client
from image_service.storage.redis.queue import RedisQueue
from tests.servers.node import HOST, free_ports

_NOW = 1_000_000
_SOON_S = 0.05


def _job(job_id: str = "a") -> Job:
    return Job(
        job_id=job_id,
        subject="key:s",
        spec=TransformSpec(2, ImageFormat.PNG, 90),
        request_id="r",
        created_ms=_NOW,
    )


Open = Callable[[str], RedisQueue]


@pytest_asyncio.fixture
async def open_queue(stores: Mapping[str, str]) -> AsyncIterator[Open]:
    """Opens the test's queue for a process of that name."""
    opened: list[RedisQueue] = []

    def of(owner: str) -> RedisQueue:
        client = open_client(stores["IMAGE_QUEUE_URL"])
        opened.append(RedisQueue(client, name="test", owner=owner, run_s=60))
        return opened[-1]

    yield of
    for queue in opened:
        await queue.close()


async def _taken(queue: RedisQueue) -> Delivery:
    delivery = await queue.take(timeout_s=1)
    assert delivery is not None
    return delivery


async def _age(queue: RedisQueue, job_id: str, seconds: float) -> None:
    """Have the last sign of life of a delivery lie so far back."""
    stored = await queue._saq.job(job_id)
    assert stored is not None
    stored.touched -= int(seconds * 1000)
    await queue._client.set(stored.id, queue._saq.serialize(stored))


async def _swept(queue: RedisQueue) -> tuple[str, ...]:
    """A sweep that finds nobody else at it."""
    await queue._client.delete(queue._saq.namespace("sweep"))
    return await queue.sweep()


async def test_a_job_put_twice_is_handed_out_once(open_queue: Open) -> None:
    """With all that a worker needs to find it, however long it waits and while it is worked on."""
    api, worker = open_queue("api"), open_queue("w")
    assert await api.put(_job())
    assert not await api.put(_job())
    delivery = await _taken(worker)
    assert (delivery.subject, delivery.job_id, delivery.request_id) == ("key:s", "a", "r")
    assert not await api.put(_job())
    assert await worker.take(timeout_s=_SOON_S) is None


async def test_a_job_that_is_done_is_forgotten(open_queue: Open) -> None:
    """Nothing of it stays on the server, and it could be put anew."""
    queue = open_queue("w")
    await queue.put(_job())
    await queue.done(await _taken(queue))
    assert await queue._client.keys("*") == []
    assert await queue.put(_job())


async def test_jobs_are_handed_out_in_order(open_queue: Open) -> None:
    """The one that waits longest is next; one that was handed back waits anew."""
    queue = open_queue("w")
    for job_id in "abc":
        await queue.put(_job(job_id))
    first = await _taken(queue)
    await queue.again(first)
    assert [(await _taken(queue)).job_id for _ in range(3)] == ["b", "c", "a"]


async def test_a_delivery_that_is_renewed_stays(open_queue: Open) -> None:
    """For as long as its worker says so."""
    queue = open_queue("w")
    await queue.put(_job())
    delivery = await _taken(queue)
    await _age(queue, delivery.job_id, LEASE_S + 1)
    await queue.renew(delivery)
    assert await _swept(queue) == ()
    assert await queue.take(timeout_s=_SOON_S) is None


async def test_a_delivery_that_is_not_renewed_goes_to_another_worker(open_queue: Open) -> None:
    """And the first one, should it come back, changes nothing about that any more."""
    first, second = open_queue("first"), open_queue("second")
    await first.put(_job())
    lost = await _taken(first)
    await _age(first, lost.job_id, LEASE_S + 1)
    assert await _swept(second) == ("a",)
    delivery = await _taken(second)
    for late in (first.renew, first.done, first.again):
        await late(lost)
    assert await second.take(timeout_s=_SOON_S) is None
    assert not await second.put(_job())
    await second.done(delivery)
    assert await second._client.llen(second._saq.namespace("active")) == 0


@pytest.mark.parametrize("same", [True, False])
async def test_a_queue_that_lost_everything_knows_new_deliveries_from_old_ones(
    open_queue: Open, *, same: bool
) -> None:
    """The job was put anew and is a first delivery again: another worker's, or the same one's."""
    first = open_queue("first")
    second = first if same else open_queue("second")
    await first.put(_job())
    old = await _taken(first)
    await first._client.flushdb()
    await second.put(_job())
    await _taken(second)
    for late in (first.renew, first.done, first.again):
        await late(old)
    assert not await second.put(_job())
    assert await second.take(timeout_s=_SOON_S) is None


async def test_a_worker_that_dies_while_it_takes_loses_nothing(open_queue: Open) -> None:
    """The job was moved and never begun: seen so twice, it is put back; once may be a moment."""
    queue = open_queue("w")
    await queue.put(_job())
    assert await queue._saq.dequeue(timeout=1) is not None
    assert await _swept(queue) == ()
    assert await _swept(queue) == ("a",)
    assert (await _taken(queue)).job_id == "a"


async def test_an_entry_without_content_is_dropped(open_queue: Open) -> None:
    """Then its job can be put anew."""
    queue = open_queue("w")
    await queue.put(_job())
    await _taken(queue)
    await queue._client.delete(queue._saq.job_id("a"))
    assert not await queue.put(_job())
    assert await _swept(queue) == ()
    assert await queue.put(_job())


@pytest.mark.parametrize(
    "content", [b"nonsense", b"[]", b'{"queue": "test", "generation": 2}', b'{"queue": "other"}']
)
async def test_an_entry_that_cannot_be_read_holds_up_no_sweep(
    open_queue: Open, content: bytes
) -> None:
    """It is dropped, its job can be put anew, and the jobs of lost workers are put back."""
    queue = open_queue("w")
    for job_id in "ab":
        await queue.put(_job(job_id))
    lost = await _taken(queue)
    await _age(queue, lost.job_id, LEASE_S + 1)
    await _taken(queue)
    await queue._client.set(queue._saq.job_id("b"), content)
    assert await _swept(queue) == ("a",)
    assert await queue.put(_job("b"))
    assert [(await _taken(queue)).job_id for _ in range(2)] == ["a", "b"]


async def test_an_entry_of_a_newer_program_is_left_to_it(open_queue: Open) -> None:
    """While old and new workers run side by side, one says that it still works on its job."""
    queue = open_queue("w")
    await queue.put(_job())
    entry = (await _taken(queue)).receipt
    assert isinstance(entry, SaqJob)
    newer = json.loads(queue._saq.serialize(entry)) | {"generation": 2}
    await queue._client.set(entry.id, json.dumps(newer))
    assert await _swept(queue) == ()
    assert not await queue.put(_job())


async def test_an_entry_of_somebody_else_does_not_come_again(open_queue: Open) -> None:
    """Nobody could ever do it, and nothing of it stays."""
    queue = open_queue("w")
    await queue._saq.enqueue(SaqJob("other", key="b", kwargs={"x": 1}))
    with pytest.raises(StoreError, match="the queue answered nonsense"):
        await queue.take(timeout_s=1)
    await _age(queue, "b", LEASE_S + 1)
    assert await _swept(queue) == ()
    await queue._client.delete(queue._saq.namespace("sweep"))
    assert await queue._client.keys("*") == []


async def test_one_sweep_at_a_time(open_queue: Open) -> None:
    """Two at once could both put a job back, and take it from whoever had it in between."""
    first, second = open_queue("first"), open_queue("second")
    await first.put(_job())
    await _age(first, (await _taken(first)).job_id, LEASE_S + 1)
    assert await first.sweep() == ("a",)
    await _age(first, (await _taken(first)).job_id, LEASE_S + 1)
    assert await second.sweep() == ()


async def test_an_entry_of_somebody_else_ends_no_worker(open_queue: Open) -> None:
    """It is nonsense to us, and what comes after it is taken."""
    queue = open_queue("w")
    await queue._saq.enqueue(SaqJob("other", key="b", kwargs={"x": 1}))
    await queue.put(_job())
    with pytest.raises(StoreError, match="the queue answered nonsense"):
        await queue.take(timeout_s=1)
    assert (await _taken(queue)).job_id == "a"


async def test_slots_that_wait_for_work_leave_room_for_the_rest(open_queue: Open) -> None:
    """However many a worker has: jobs in hand are renewed and lost ones swept all the same."""
    queue, other = open_queue("w"), open_queue("other")
    await queue.put(_job())
    delivery = await _taken(queue)
    takes = [asyncio.create_task(queue.take(timeout_s=30)) for _ in range(MAX_WORKERS)]
    while (await other._client.info("clients"))["blocked_clients"] < MAX_WORKERS:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await queue.renew(delivery)
    assert await _swept(queue) == ()
    for take in takes:
        take.cancel()
    await asyncio.gather(*takes, return_exceptions=True)


@pytest.mark.parametrize("call", ["put", "take", "sweep"])
async def test_a_server_that_is_away_is_one_error(call: str) -> None:
    """`StoreError`, soon, without a word of the address."""
    (port,) = free_ports(1)
    queue = RedisQueue(
        open_client(f"redis://:planted@{HOST}:{port}"), name="test", owner="w", run_s=60
    )
    calls = {
        "put": lambda: queue.put(_job()),
        "take": lambda: queue.take(timeout_s=1),
        "sweep": queue.sweep,
    }
    with pytest.raises(StoreError) as failed:
        async with asyncio.timeout(3):
            await calls[call]()
    assert str(failed.value) == "the queue does not answer: ConnectionError"
    await queue.close()
