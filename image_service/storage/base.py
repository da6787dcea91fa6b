"""What every store promises. One conformance suite holds all of them to it.

A `JobStore` keeps what is known about jobs, a `FileStore` the bytes they are about. Both are
shared by several processes and outlive them; neither reads a clock.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from image_service.jobs import Job, Result


@dataclass(frozen=True, slots=True)
class Claim:
    """Who holds an idempotency key: the job, once `fingerprint` is known; until then a request."""

    job_id: str
    fingerprint: str | None


class JobStore(Protocol):
    """Keeps jobs until they expire. A job exists for its own subject only.

    What a call has changed when it returns survives the end of every process, the store's
    included. Every call may raise `StoreError`: the store did not answer in time or answered
    nonsense, and what was asked for may have been done or not.
    """

    async def claim(self, subject: str, key: str, job_id: str, *, now_ms: int) -> Claim:
        """Claim an idempotency key for a job that is about to exist.

        Atomic: of several claimants one gets a claim that carries its own `job_id`, the others
        get that same claim. A claim that no job confirms lapses half a minute after its holder
        asked last.
        """

    async def release(self, subject: str, key: str, job_id: str) -> None:
        """Give up a claim that no job confirmed. Somebody else's claim stays."""

    async def create(self, job: Job, *, now_ms: int) -> None:
        """Keep a new job, and confirm its idempotency key in the same step if it has one.

        Raises:
            ClaimLostError: its idempotency key is somebody else's by now. Nothing is kept.
            QueueFullError: as many jobs wait as may. Nothing is kept.
            StoreFullError: as many jobs are kept as may. Nothing is kept.
        """

    async def get(self, subject: str, job_id: str, *, now_ms: int) -> Job | None:
        """The job; None when it is unknown, forgotten, expired or another subject's."""

    async def update(self, job: Job) -> bool:
        """Put `job` in the place of the revision before it.

        False, and nothing changes, when the kept job is at another revision or is gone: then
        somebody else moved it, and the caller reads it anew. The same update sent twice is true
        twice: whoever did not hear the first answer asks again.
        """

    async def settled(
        self, subject: str, job_id: str, *, now_ms: int, timeout_s: float
    ) -> Job | None:
        """The job as soon as it is final, or as it stands after `timeout_s`; None as in `get`."""

    async def delete(self, subject: str, job_id: str) -> bool:
        """Forget a job and its idempotency key. False when there was none of this subject."""

    async def expire(self, *, now_ms: int) -> tuple[Job, ...]:
        """Forget what has expired and tell which jobs those were, each to one caller only."""

    async def waiting(self) -> int:
        """How many jobs are queued."""

    async def has_room(self) -> bool:
        """Whether `create` would take a job now. Said early, before a file is received."""

    async def unfinished(self, *, created_before_ms: int) -> tuple[Job, ...]:
        """The jobs that are not final, the oldest first, a thousand at most."""

    async def known(self, job_ids: Collection[str]) -> frozenset[str]:
        """Those of the ids that are jobs, whoever's they are."""

    async def close(self) -> None:
        """Let go of every connection."""


class FileStore(Protocol):
    """Keeps the files of jobs: for each job its upload, and the results of its attempts.

    A file is there whole or not at all. Every call may raise `FilesError`: the store could not
    be reached, or has no room.
    """

    async def keep_upload(self, job_id: str, upload: Path) -> None:
        """Copy an upload into the store, memory bounded whatever its size."""

    async def fetch_upload(self, job_id: str, target: Path) -> None:
        """Copy a job's upload out of the store.

        Raises:
            FileNotFoundError: it is gone.
        """

    async def keep_result(
        self, job_id: str, attempt: int, produced: Path, media_type: str
    ) -> Result:
        """Copy a finished image into the store. Attempts do not see each other's."""

    def read(self, result: Result, *, start: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `start`, in pieces.

        Raises:
            FileNotFoundError: on the first piece, when the result is gone.
        """

    async def drop_upload(self, job_id: str) -> None:
        """Forget a job's upload, if there is one."""

    async def drop_result(self, result: Result) -> None:
        """Forget one result, if it is there."""

    async def forget(self, job_id: str) -> None:
        """Forget every file of a job."""

    async def forget_strays(
        self,
        known: Callable[[Collection[str]], Awaitable[frozenset[str]]],
        *,
        written_before_ms: int,
    ) -> int:
        """Forget the files of what is no job, and tell how many jobs that was.

        A process that dies between keeping an upload and creating its job leaves one. `known`
        tells which ids are jobs; files younger than that are left alone.
        """
