"""What the queue promises: every job that is put into it is handed to a worker, at least once."""

from typing import Protocol

from image_service.jobs import Job


class Queue(Protocol):
    """Hands jobs to workers. The job store says what a job is and whether anything is to be done.

    A job may be handed out twice, when its worker died or seemed to; the revisions of the job
    store let one of them win.
    """

    async def put(self, job: Job) -> None:
        """Have a worker take up the job. Put twice, it is in the queue once.

        Raises:
            StoreError: the queue's store did not answer; the job may be in the queue.
        """
