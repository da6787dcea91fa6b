"""What the queue promises: every job that is put into it is handed to a worker, at least once.

The job store says what a job is and whether anything is to be done. A job may be handed out
twice, when its worker died or seemed to; the revisions of the job store let one of them win.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from image_service.jobs import Job

LEASE_S: Final = 10.0
"""A delivery that is not renewed for so long is handed to another worker."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job in the hands of a worker. `receipt` means something only to the queue that made it."""

    subject: str
    job_id: str
    request_id: str
    receipt: object


class Queue(Protocol):
    """Takes jobs in."""

    async def put(self, job: Job) -> bool:
        """Have a worker take up the job. Put twice, it is in the queue once: the second is False.

        Raises:
            StoreError: the queue's store did not answer; the job may be in the queue.
        """

    async def close(self) -> None:
        """Let go of every connection."""


class Deliveries(Queue, Protocol):
    """Hands jobs out. Every call may raise `StoreError`: the queue's store did not answer."""

    async def take(self, *, timeout_s: float) -> Delivery | None:
        """The next job; None when none came in time."""

    async def renew(self, delivery: Delivery) -> None:
        """Say that the job is still worked on."""

    async def done(self, delivery: Delivery) -> None:
        """Take the job out of the queue, unless it was handed to somebody else meanwhile."""

    async def again(self, delivery: Delivery) -> None:
        """Let the next worker have the job, unless one has it already."""

    async def sweep(self) -> tuple[str, ...]:
        """Put back the jobs of lost workers, and tell which those were."""
