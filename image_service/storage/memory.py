"""Jobs in this process's memory, bounded. They end with the process."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from image_service.errors import StoreFullError
from image_service.jobs import Job
from image_service.storage.base import Claim

CLAIM_KEPT_MS: Final = 10 * 60 * 1000
"""No request takes half as long to arrive, so an older claim has lost its claimant."""


@dataclass(frozen=True, slots=True)
class _HeldClaim:
    """An idempotency key's claim and its end."""

    claim: Claim
    expires_ms: int


class MemoryJobStore:
    """The `JobStore` of one process. Nothing awaits between a look and a change: each is atomic."""

    def __init__(self, *, max_jobs: int) -> None:
        self._max_jobs = max_jobs
        self._jobs: dict[str, Job] = {}
        self._claims: dict[tuple[str, str], _HeldClaim] = {}
        self._final: dict[str, asyncio.Event] = {}

    async def claim(self, subject: str, key: str, job_id: str, *, now_ms: int) -> Claim:
        """See `JobStore.claim`."""
        held = self._claims.get((subject, key))
        if held is not None and now_ms < held.expires_ms:
            return held.claim
        if len(self._claims) >= self._max_jobs:
            raise StoreFullError("too many idempotency keys")
        claim = Claim(job_id, None)
        self._claims[subject, key] = _HeldClaim(claim, now_ms + CLAIM_KEPT_MS)
        return claim

    async def release(self, subject: str, key: str, job_id: str) -> None:
        """See `JobStore.release`."""
        held = self._claims.get((subject, key))
        if held is not None and held.claim == Claim(job_id, None):
            del self._claims[subject, key]

    async def create(self, job: Job, *, now_ms: int) -> None:
        """See `JobStore.create`."""
        if len(self._jobs) >= self._max_jobs:
            await self.expire(now_ms=now_ms)
        if len(self._jobs) >= self._max_jobs:
            raise StoreFullError("too many jobs")
        self._jobs[job.job_id] = job
        self._final[job.job_id] = asyncio.Event()
        if job.idempotency is not None:
            claim = Claim(job.job_id, job.idempotency.fingerprint)
            held = _HeldClaim(claim, job.expires_ms)
            self._claims[job.subject, job.idempotency.value] = held

    async def get(self, subject: str, job_id: str, *, now_ms: int) -> Job | None:
        """See `JobStore.get`."""
        job = self._jobs.get(job_id)
        if job is None or job.subject != subject or now_ms >= job.expires_ms:
            return None
        return job

    async def update(self, job: Job) -> bool:
        """See `JobStore.update`."""
        kept = self._jobs.get(job.job_id)
        if kept is None or kept.revision != job.revision - 1:
            return False
        self._jobs[job.job_id] = job
        if job.status.is_final:
            self._final[job.job_id].set()
        return True

    async def settled(
        self, subject: str, job_id: str, *, now_ms: int, timeout_s: float
    ) -> Job | None:
        """See `JobStore.settled`."""
        if await self.get(subject, job_id, now_ms=now_ms) is None:
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._final[job_id].wait()
        return await self.get(subject, job_id, now_ms=now_ms)

    async def delete(self, subject: str, job_id: str) -> bool:
        """See `JobStore.delete`."""
        job = self._jobs.get(job_id)
        if job is None or job.subject != subject:
            return False
        self._forget(job)
        return True

    async def expire(self, *, now_ms: int) -> tuple[Job, ...]:
        """See `JobStore.expire`."""
        expired = tuple(job for job in self._jobs.values() if now_ms >= job.expires_ms)
        for job in expired:
            self._forget(job)
        lapsed = [name for name, held in self._claims.items() if now_ms >= held.expires_ms]
        for name in lapsed:
            del self._claims[name]
        return expired

    def _forget(self, job: Job) -> None:
        del self._jobs[job.job_id]
        # Whoever still waits for this job learns at once that it is gone.
        self._final.pop(job.job_id).set()
        if job.idempotency is not None:
            self._drop_claim((job.subject, job.idempotency.value), job.job_id)

    def _drop_claim(self, name: tuple[str, str], job_id: str) -> None:
        held = self._claims.get(name)
        if held is not None and held.claim.job_id == job_id:
            del self._claims[name]
