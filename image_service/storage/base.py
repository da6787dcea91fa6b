"""What every store promises. One conformance suite holds all of them to it.

A `JobStore` keeps what is known about jobs, a `ResultStore` the bytes they produced. Both may
be shared by several processes; neither reads a clock.
"""

from collections.abc import AsyncIterator
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
    """Keeps jobs until they expire. A job exists for its own subject only."""

    async def claim(self, subject: str, key: str, job_id: str, *, now_ms: int) -> Claim:
        """Claim an idempotency key for a job that is about to exist.

        Atomic: of several claimants one gets a claim that carries its own `job_id`, the others
        get that same claim. A claim that no job confirmed lapses after ten minutes.

        Raises:
            StoreFullError: nothing more can be kept.
        """

    async def release(self, subject: str, key: str, job_id: str) -> None:
        """Give up a claim that no job confirmed. Somebody else's claim stays."""

    async def create(self, job: Job, *, now_ms: int) -> None:
        """Keep a new job, and confirm its idempotency key in the same step if it has one.

        Raises:
            StoreFullError: nothing more can be kept.
        """

    async def get(self, subject: str, job_id: str, *, now_ms: int) -> Job | None:
        """The job; None when it is unknown, forgotten, expired or another subject's."""

    async def update(self, job: Job) -> bool:
        """Put `job` in the place of the revision before it.

        False, and nothing changes, when the kept job is at another revision or is gone: then
        somebody else moved it, and the caller reads it anew.
        """

    async def settled(
        self, subject: str, job_id: str, *, now_ms: int, timeout_s: float
    ) -> Job | None:
        """The job as soon as it is final, or as it stands after `timeout_s`; None as in `get`."""

    async def delete(self, subject: str, job_id: str) -> bool:
        """Forget a job and its idempotency key. False when there was none of this subject."""

    async def expire(self, *, now_ms: int) -> tuple[Job, ...]:
        """Forget what has expired and tell which jobs those were, each to one caller only."""


class ResultStore(Protocol):
    """Keeps the images that jobs produced."""

    async def has_room(self) -> bool:
        """Whether another result can be kept."""

    async def keep(self, job_id: str, produced: Path, media_type: str) -> Result:
        """Take over a finished file: `produced` is gone afterwards."""

    def read(self, result: Result, *, start: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `start`, in pieces.

        Reading goes on undisturbed when the result is deleted meanwhile.

        Raises:
            FileNotFoundError: on the first piece, when the result is gone.
        """

    async def delete(self, job_id: str) -> None:
        """Forget a job's result, if there is one."""
