"""A job's revisions between a worker and a store that does not always answer."""

from typing import TYPE_CHECKING, cast

import pytest

from image_service import attempt
from image_service.attempt import GoneError, Run, patiently
from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import StoreError
from image_service.jobs import Job, JobStatus, Result

if TYPE_CHECKING:
    from image_service.storage.base import JobStore

_RESULT = Result("somewhere", 1, "image/png", '"e"')


class _Store:
    """One job. So many calls are carried out and not answered, the next ones are."""

    def __init__(self, job: Job, *, unanswered: int) -> None:
        self.job: Job | None = job
        self.unanswered = unanswered

    async def update(self, job: Job) -> bool:
        kept = self.job
        taken = kept is not None and (job == kept or job.revision == kept.revision + 1)
        if taken:
            self.job = job
        self._answer()
        return taken

    async def get(self, _subject: str, _job_id: str, *, now_ms: int) -> Job | None:
        assert now_ms >= 0
        self._answer()
        return self.job

    def _answer(self) -> None:
        if self.unanswered:
            self.unanswered -= 1
            raise StoreError("x")


def _begun(*, unanswered: int = 0) -> tuple[Run, _Store]:
    job = Job(
        job_id="a",
        subject="key:s",
        spec=TransformSpec(2, ImageFormat.PNG, 90),
        request_id="r",
        created_ms=1,
    ).started(2)
    store = _Store(job, unanswered=unanswered)
    return Run(job, jobs=cast("JobStore", store)), store


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience without waiting."""
    monkeypatch.setattr(attempt, "_PATIENCE_S", (0, 0, 0))


async def test_progress_that_was_not_answered_is_no_obstacle() -> None:
    """It was written all the same: the end of the job comes after it, not in its place."""
    run, store = _begun(unanswered=1)
    run.progress = 40
    with pytest.raises(StoreError):
        await run.look()
    await run.move(lambda job: job.succeeded(_RESULT, 3))
    assert run.job == store.job
    assert (run.job.status, run.job.revision) == (JobStatus.SUCCEEDED, 3)


async def test_a_step_is_asked_for_until_it_is_answered() -> None:
    """And is taken once, however often it is asked for."""
    run, store = _begun(unanswered=3)
    await run.move(Job.handed_back)
    assert run.job == store.job
    assert (run.job.attempts, run.job.revision) == (0, 2)


async def test_patience_has_an_end() -> None:
    """Then it is the caller's to decide; the step may still be answered later."""
    run, store = _begun(unanswered=4)
    with pytest.raises(StoreError):
        await run.move(Job.handed_back)
    await run.look()
    assert run.job == store.job


@pytest.mark.parametrize("progress", [0, 40])
async def test_a_job_that_was_moved_by_somebody_else_is_gone(progress: int) -> None:
    """Whether there is progress to tell or not."""
    run, store = _begun()
    assert store.job is not None
    store.job = store.job.cancelled(3)
    run.progress = progress
    with pytest.raises(GoneError):
        await run.look()


async def test_a_job_that_was_forgotten_is_gone() -> None:
    """There is nobody to work for."""
    run, store = _begun()
    store.job = None
    with pytest.raises(GoneError):
        await run.look()


async def test_a_final_job_is_left_alone() -> None:
    """A look that comes after the end neither moves it nor calls it gone."""
    run, store = _begun()
    run.progress = 40
    await run.move(lambda job: job.failed(attempt.OUR_FAULT, 3))
    kept = store.job
    await run.look()
    assert store.job == kept


async def test_only_a_silent_store_is_asked_again() -> None:
    """Any other error is an answer."""
    calls: list[int] = []

    async def defect() -> None:
        calls.append(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await patiently(defect)
    assert calls == [1]
