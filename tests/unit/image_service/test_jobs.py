from collections.abc import Callable

import pytest

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.jobs import (
    KEPT_MS,
    IllegalMoveError,
    Job,
    JobError,
    JobErrorCode,
    JobStatus,
    Result,
)

_JOB = Job(
    job_id="1",
    subject="key:a",
    spec=TransformSpec(2, ImageFormat.PNG, 90),
    request_id="r",
    created_ms=1_000,
)
_RESULT = Result("1", 10, "image/png", '"e"')
_ERROR = JobError(JobErrorCode.INVALID_IMAGE, "bad")


def test_a_job_runs_its_course() -> None:
    """Queued, running, further on, done: each with its moment and a new revision."""
    job = _JOB.started(2_000).progressed(40).succeeded(_RESULT, 3_000)
    assert (job.status, job.progress, job.result) == (JobStatus.SUCCEEDED, 100, _RESULT)
    assert (job.created_ms, job.started_ms, job.finished_ms) == (1_000, 2_000, 3_000)
    assert job.revision == _JOB.revision + 3


def test_failure_keeps_its_reason() -> None:
    """What the client is told about a failed job stays with the job."""
    job = _JOB.started(2_000).failed(_ERROR, 3_000)
    assert (job.status, job.error, job.finished_ms) == (JobStatus.FAILED, _ERROR, 3_000)


@pytest.mark.parametrize(
    "move",
    [
        lambda job: job.started(5),
        lambda job: job.progressed(5),
        lambda job: job.succeeded(_RESULT, 5),
        lambda job: job.failed(_ERROR, 5),
        lambda job: job.cancelled(5),
    ],
)
@pytest.mark.parametrize(
    "final",
    [
        _JOB.started(2).succeeded(_RESULT, 3),
        _JOB.started(2).failed(_ERROR, 3),
        _JOB.cancelled(3),
    ],
    ids=lambda job: job.status.value,
)
def test_nothing_follows_a_final_status(final: Job, move: Callable[[Job], Job]) -> None:
    """A job that ended stays as it ended."""
    assert final.status.is_final
    with pytest.raises(IllegalMoveError):
        move(final)


def test_a_job_cannot_succeed_before_it_runs() -> None:
    """Only what runs can finish or progress."""
    with pytest.raises(IllegalMoveError):
        _JOB.succeeded(_RESULT, 5)
    with pytest.raises(IllegalMoveError):
        _JOB.progressed(5)


def test_a_job_is_kept_for_a_day() -> None:
    """24 hours from its creation, whatever became of it."""
    assert _JOB.started(9_000).expires_ms == 1_000 + KEPT_MS == 1_000 + 86_400_000
