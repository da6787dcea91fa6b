"""The queue over SAQ: its atomic lists in Redis, and none of its worker.

SAQ's own worker hides errors, spins while Redis is away, takes over the process's signals and
prints what it is given; see docs/decisions/0010-job-queue.md. Its queue is used as it is.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError
from saq import Job as SaqJob
from saq import Status
from saq.queue.redis import RedisQueue as SaqRedisQueue
from saq.utils import now

from image_service.errors import StoreError
from image_service.jobs import Job
from image_service.queue import LEASE_S, Delivery
from image_service.storage.redis.client import TIMEOUT_S

_CALL_S: Final = 2 * TIMEOUT_S
_SWEEP_LOCK_S: Final = 3
# The job's own document bounds how often it is begun.
_ENDLESS: Final = 1_000_000
_REMOVED_WHEN_DONE: Final = -1
_ABOUT: Final = frozenset({"subject", "job_id", "request_id"})
# What comes of content that SAQ or we did not write.
_NONSENSE: Final = (ValueError, TypeError, LookupError, AttributeError)


class RedisQueue:
    """Jobs wait in one list and move to another while a worker has them.

    `owner` tells this process's deliveries from those of every other, `run_s` is the longest that
    one delivery may take.
    """

    def __init__(self, client: Redis, *, name: str, owner: str, run_s: float) -> None:
        self._client = client
        self._saq = SaqRedisQueue(client, name=name)
        self._owner = owner
        # No two deliveries have one name: a queue that lost everything counts attempts anew.
        self._numbers = count()
        self._run_s = run_s
        # Seen in a worker's list without having been begun: once is a moment, twice is a loss.
        self._suspects: frozenset[str] = frozenset()

    async def put(self, job: Job) -> bool:
        """See `Queue`."""
        entry = SaqJob(
            "upscale",
            key=job.job_id,
            kwargs={"subject": job.subject, "job_id": job.job_id, "request_id": job.request_id},
            heartbeat=int(LEASE_S),
            timeout=int(self._run_s),
            retries=_ENDLESS,
            ttl=_REMOVED_WHEN_DONE,
        )
        async with _answering():
            return await self._saq.enqueue(entry) is not None

    async def take(self, *, timeout_s: float) -> Delivery | None:
        """See `Deliveries`."""
        async with _answering(timeout_s + _CALL_S):
            entry = await self._saq.dequeue(timeout=timeout_s)
            if entry is None:
                return None
            entry.started = now()
            entry.attempts += 1
            entry.worker_id = f"{self._owner}-{next(self._numbers)}"
            await entry.update(status=Status.ACTIVE)
            about = entry.kwargs or {}
            return Delivery(about["subject"], about["job_id"], about["request_id"], entry)

    async def renew(self, delivery: Delivery) -> None:
        """See `Deliveries`."""
        async with _answering():
            if await self._is_ours(delivery):
                await _entry(delivery).update()

    async def done(self, delivery: Delivery) -> None:
        """See `Deliveries`."""
        async with _answering():
            if await self._is_ours(delivery):
                await _entry(delivery).finish(Status.COMPLETE)

    async def again(self, delivery: Delivery) -> None:
        """See `Deliveries`."""
        async with _answering():
            if await self._is_ours(delivery):
                await _entry(delivery).retry(None)

    async def sweep(self) -> tuple[str, ...]:
        """See `Deliveries`.

        SAQ's own sweep waits seconds for each lost job and listens on a channel that spins
        without Redis. Nothing has to be waited for: a worker that only seemed lost finds its
        revision gone.
        """
        async with _answering():
            lock = self._saq.namespace("sweep")
            if not await self._client.set(lock, 1, nx=True, ex=_SWEEP_LOCK_S):
                return ()
            ids = await self._client.lrange(self._saq.namespace("active"), 0, -1)
            contents = await self._client.mget(ids) if ids else []
            return await self._sweep(dict(zip(map(_text, ids), map(_bytes, contents), strict=True)))

    async def close(self) -> None:
        """See `Queue`."""
        await self._client.aclose(close_connection_pool=True)

    async def _sweep(self, handed_out: Mapping[str, bytes | None]) -> tuple[str, ...]:
        entries = {entry_id: self._read(content) for entry_id, content in handed_out.items()}
        unbegun = {key for key, it in entries.items() if it and it.status is not Status.ACTIVE}
        lost = [
            it
            for key, it in entries.items()
            if it and (it.stuck or key in unbegun & self._suspects)
        ]
        self._suspects = frozenset(unbegun)
        for entry in lost:
            await entry.retry(None)
        for entry_id, content in handed_out.items():
            if entries[entry_id] is None and not _is_renewed(content):
                await self._forget(entry_id)
        return tuple(entry.key for entry in lost)

    def _read(self, content: bytes | None) -> SaqJob | None:
        """The entry; None where there is none that we could do anything about."""
        try:
            entry = self._saq.deserialize(content)
        except _NONSENSE:
            return None
        return entry if entry and entry.kwargs and entry.kwargs.keys() >= _ABOUT else None

    async def _forget(self, entry_id: str) -> None:
        """Drop an entry: upkeep puts its job anew, if it has one."""
        # In this order, so that a sweep that is cut short leaves something to sweep.
        await self._client.zrem(self._saq.namespace("incomplete"), entry_id)
        await self._client.delete(entry_id)
        await self._client.lrem(self._saq.namespace("active"), 0, entry_id)

    async def _is_ours(self, delivery: Delivery) -> bool:
        stored = await self._saq.job(delivery.job_id)
        return (
            stored is not None
            and stored.status is Status.ACTIVE
            and stored.worker_id == _entry(delivery).worker_id
        )


@asynccontextmanager
async def _answering(within_s: float = _CALL_S) -> AsyncIterator[None]:
    """Name every way in which the queue's store can fail by one error; its words stay inside."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        # Without the server's words: a reply may quote what was sent.
        raise StoreError(f"the queue does not answer: {type(error).__name__}") from None
    except _NONSENSE:
        raise StoreError("the queue answered nonsense") from None


def _entry(delivery: Delivery) -> SaqJob:
    return cast("SaqJob", delivery.receipt)


def _is_renewed(content: bytes | None) -> bool:
    """Whether an entry that we cannot read is kept up by a newer program that can."""
    try:
        touched_ms: int = json.loads(content or b"")["touched"]
        return now() - touched_ms < LEASE_S * 1000
    except _NONSENSE:
        return False


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
