"""The `JobStore` in Redis or Valkey."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis

from image_service.errors import (
    ClaimLostError,
    QueueFullError,
    StoreError,
    StoreFullError,
    UnreadableError,
)
from image_service.jobs import Job, JobStatus
from image_service.observe import ctx_logger
from image_service.storage.base import Claim
from image_service.storage.redis.client import answered
from image_service.storage.redis.codec import decode, encode
from image_service.storage.redis.names import (
    EXPIRY,
    JOB_PREFIX,
    QUEUED,
    UNFINISHED,
    claim_key,
    id_bytes,
    job_key,
    owner,
)

CLAIM_KEPT_MS: Final = 30 * 1000
MAX_UNFINISHED: Final = 1_000
_MARGIN_MS: Final = 60 * 60 * 1000
"""How much longer than asked the server holds on to things, should nobody tidy up."""

_QUEUE_FULL: Final = -1
_STORE_FULL: Final = -2
_CLAIM_LOST: Final = -3
_EXPIRE_BATCH: Final = 100
_KNOWN_BATCH: Final = 1_000
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.25


class RedisJobStore:
    """Jobs in hashes, with sorted sets of their ids beside them: `names` says what is where.

    `queue_limit` bounds how many jobs wait, `max_jobs` how many are kept, over all processes. What
    has expired counts until `expire` has told of it. Every question takes two seconds at most.
    `create`, `claim`, `release` and `update` may be asked again after a `StoreError`.
    """

    def __init__(self, client: Redis, *, queue_limit: int, max_jobs: int) -> None:
        # What redis-py declares replies to be covers all the protocols and decodings it knows;
        # here they are always RESP2 and bytes.
        self._client: Any = client
        self._queue_limit = queue_limit
        self._max_jobs = max_jobs
        # Unfinished jobs that the log has named, until they are gone.
        self._named: frozenset[bytes] = frozenset()
        self._claim = self._script("claim")
        self._release = self._script("release")
        self._create = self._script("create")
        self._update = self._script("update")
        self._delete = self._script("forget", "delete")
        self._expire = self._script("forget", "expire")
        self._unfinished = self._script("unfinished")

    async def claim(self, subject: str, key: str, job_id: str, *, now_ms: int) -> Claim:
        """See `JobStore.claim`."""
        async with answered():
            holder, fingerprint = await self._claim(
                keys=[claim_key(subject, key)],
                args=[id_bytes(job_id), now_ms, CLAIM_KEPT_MS, _MARGIN_MS],
            )
            return Claim(_text(holder), None if fingerprint is None else _text(fingerprint))

    async def release(self, subject: str, key: str, job_id: str) -> None:
        """See `JobStore.release`."""
        async with answered():
            await self._release(keys=[claim_key(subject, key)], args=[id_bytes(job_id)])

    async def create(self, job: Job, *, now_ms: int) -> None:
        """See `JobStore.create`. A job that is there already is left as it stands."""
        keys = [job_key(job.job_id), EXPIRY, QUEUED, UNFINISHED]
        arguments = [
            *(id_bytes(job.job_id), owner(job.subject), encode(job), job.revision),
            *(job.created_ms, job.expires_ms, max(0, job.expires_ms - now_ms) + _MARGIN_MS),
            *(self._queue_limit, self._max_jobs),
        ]
        if job.idempotency is not None:
            keys.append(claim_key(job.subject, job.idempotency.value))
            arguments.append(job.idempotency.fingerprint.encode("utf-8", "surrogatepass"))
        async with answered():
            outcome = await self._create(keys=keys, args=arguments)
        if outcome == _QUEUE_FULL:
            raise QueueFullError("too many jobs wait")
        if outcome == _STORE_FULL:
            raise StoreFullError("too many jobs are kept")
        if outcome == _CLAIM_LOST:
            raise ClaimLostError("the idempotency key belongs to another request")
        _true_or_false(outcome)

    async def get(self, subject: str, job_id: str, *, now_ms: int) -> Job | None:
        """See `JobStore.get`."""
        async with answered():
            document = await self._client.hget(job_key(job_id), "document")
        if document is None:
            return None
        job = _read(document, id_bytes(job_id))
        return job if job.subject == subject and now_ms < job.expires_ms else None

    async def update(self, job: Job) -> bool:
        """See `JobStore.update`."""
        arguments = [
            *(id_bytes(job.job_id), encode(job), job.revision, job.created_ms),
            *(int(job.status is JobStatus.QUEUED), int(not job.status.is_final)),
        ]
        async with answered():
            outcome = await self._update(
                keys=[job_key(job.job_id), QUEUED, UNFINISHED], args=arguments
            )
        return _true_or_false(outcome)

    async def settled(
        self, subject: str, job_id: str, *, now_ms: int, timeout_s: float
    ) -> Job | None:
        """See `JobStore.settled`. Looks again after pauses that grow to a quarter of a second."""
        over = asyncio.create_task(asyncio.sleep(timeout_s))
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                is_last_look = over.done()
                job = await self.get(subject, job_id, now_ms=now_ms)
                if job is None or job.status.is_final or is_last_look:
                    return job
                await asyncio.wait([over], timeout=pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            over.cancel()

    async def delete(self, subject: str, job_id: str) -> bool:
        """See `JobStore.delete`."""
        async with answered():
            outcome = await self._delete(
                keys=[job_key(job_id), EXPIRY, QUEUED, UNFINISHED],
                args=[id_bytes(job_id), owner(subject)],
            )
        return _true_or_false(outcome)

    async def expire(self, *, now_ms: int) -> tuple[Job, ...]:
        """See `JobStore.expire`. Records that make no sense are forgotten, and logged."""
        told: list[Job] = []
        while True:
            try:
                async with answered():
                    batch = _pairs(
                        await self._expire(
                            keys=[EXPIRY, QUEUED, UNFINISHED],
                            args=[now_ms, _EXPIRE_BATCH, JOB_PREFIX],
                        )
                    )
            except StoreError:
                # Nobody will be told again of those that are forgotten already.
                if told:
                    return tuple(told)
                raise
            told.extend(_readable(batch))
            if len(batch) < _EXPIRE_BATCH:
                return tuple(told)

    async def waiting(self) -> int:
        """See `JobStore.waiting`."""
        async with answered():
            return _count(await self._client.zcard(QUEUED))

    async def has_room(self) -> bool:
        """See `JobStore.has_room`."""
        async with answered():
            queued = _count(await self._client.zcard(QUEUED))
            kept = _count(await self._client.zcard(EXPIRY))
        return queued < self._queue_limit and kept < self._max_jobs

    async def unfinished(self, *, created_before_ms: int) -> tuple[Job, ...]:
        """See `JobStore.unfinished`. Records that make no sense are left out, and logged once."""
        async with answered():
            found = _pairs(
                await self._unfinished(
                    keys=[UNFINISHED], args=[created_before_ms, MAX_UNFINISHED, JOB_PREFIX]
                )
            )
        jobs = tuple(_readable(found, named=self._named))
        self._named = frozenset(name for name, _ in found) - {id_bytes(it.job_id) for it in jobs}
        return jobs

    async def known(self, job_ids: Collection[str]) -> frozenset[str]:
        """See `JobStore.known`."""
        ids = list(job_ids)
        known: set[str] = set()
        for start in range(0, len(ids), _KNOWN_BATCH):
            batch = ids[start : start + _KNOWN_BATCH]
            async with answered():
                scores = await self._client.zmscore(EXPIRY, [id_bytes(job_id) for job_id in batch])
                pairs = list(zip(batch, scores, strict=True))
            known.update(job_id for job_id, score in pairs if score is not None)
        return frozenset(known)

    async def close(self) -> None:
        """See `JobStore.close`."""
        await self._client.aclose(close_connection_pool=True)

    def _script(self, *parts: str) -> Any:  # noqa: ANN401 - redis-py's
        folder = files("image_service.storage.redis") / "lua"
        text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
        return self._client.register_script(text)


def _read(document: object, name: bytes) -> Job:
    if not isinstance(document, bytes):
        raise StoreError("the job store answered nonsense")
    job = decode(document)
    if id_bytes(job.job_id) != name:
        raise UnreadableError("the job store holds a job under the name of another")
    return job


def _readable(
    found: Sequence[tuple[bytes, bytes]], *, named: Collection[bytes] = ()
) -> Iterator[Job]:
    """The jobs that make sense. One that does not must not hold up the others."""
    for name, document in found:
        try:
            yield _read(document, name)
        except StoreError as error:
            if name not in named:
                job_id = name.decode("utf-8", "replace")
                ctx_logger.warning("Job cannot be read", job_id=job_id, reason=str(error))


def _pairs(reply: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(reply, list) or not all(isinstance(item, bytes) for item in reply):
        raise TypeError("no list of texts")
    return list(zip(reply[::2], reply[1::2], strict=True))


def _text(reply: object) -> str:
    if not isinstance(reply, bytes):
        raise TypeError("no text")
    return reply.decode("utf-8", "surrogatepass")


def _count(reply: object) -> int:
    if not isinstance(reply, int) or reply < 0:
        raise ValueError("no count")
    return reply


def _true_or_false(outcome: object) -> bool:
    if outcome not in (0, 1):
        raise StoreError("the job store answered nonsense")
    return outcome == 1
