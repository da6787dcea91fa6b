"""Duties that are done again and again, whatever happens in between."""

import asyncio
from unittest.mock import create_autospec

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from image_service.core.formats import ImageFormat
from image_service.core.spec import TransformSpec
from image_service.errors import FilesError, StoreError
from image_service.jobs import Job
from image_service.storage.objects import ObjectFileStore
from image_service.storage.redis.jobs import RedisJobStore
from image_service.storage.redis.queue import RedisQueue
from image_service.testing import ManualClock
from image_service.upkeep import Upkeep, _Duty, _repeat


class _EndOfTestError(BaseException):
    """Nothing that a duty could raise."""


async def _lines(*outcomes: Exception | None, within_s: float = 5) -> list[tuple[str, str]]:
    """What is logged while a duty comes out like this, one turn after the other."""
    left = iter(outcomes)

    async def duty() -> None:
        try:
            outcome = next(left)
        except StopIteration:
            raise _EndOfTestError from None
        if isinstance(outcome, TimeoutError):
            await asyncio.Event().wait()
        if outcome is not None:
            raise outcome

    with capture_logs() as lines, pytest.raises(_EndOfTestError):
        await _repeat(_Duty("tidy", 0, within_s, duty))
    return [(line["log_level"], line["event"]) for line in lines]


@pytest.mark.parametrize(("every_s", "pauses"), [(5, [5, 5]), (3600, [60, 3600])])
async def test_no_duty_needs_a_process_that_lives_long(
    monkeypatch: pytest.MonkeyPatch, every_s: float, pauses: list[float]
) -> None:
    """Workers that are replaced every half an hour do all of them too."""
    slept: list[float] = []
    turns = iter([None])

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def duty() -> None:
        if next(turns, turns) is turns:
            raise _EndOfTestError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(_EndOfTestError):
        await _repeat(_Duty("tidy", every_s, 5, duty))
    assert slept == pauses


@pytest.mark.parametrize("error", [StoreError("x"), FilesError("x"), OSError("x")])
async def test_an_outage_is_said_once_and_its_end_too(error: Exception) -> None:
    """However many turns it lasts; and the next one is said anew."""
    assert await _lines(None, error, error, None, None, error) == [
        ("error", "Upkeep failed"),
        ("info", "Upkeep works again"),
        ("error", "Upkeep failed"),
    ]


async def test_a_duty_that_hangs_is_ended() -> None:
    """Its turn has an end, and the next one comes."""
    assert await _lines(TimeoutError(), None, within_s=0.01) == [
        ("error", "Upkeep failed"),
        ("info", "Upkeep works again"),
    ]


async def test_a_defect_ends_neither_the_duty_nor_the_others() -> None:
    """It is logged with its place, once, and tried again."""
    assert await _lines(RuntimeError("x"), RuntimeError("x"), None) == [
        ("error", "Upkeep broke"),
        ("info", "Upkeep works again"),
    ]


async def test_a_job_that_is_put_again_is_told_of_with_its_request() -> None:
    """Whoever follows a request through the logs finds out why it took longer."""
    job = Job(
        job_id="a",
        subject="key:s",
        spec=TransformSpec(2, ImageFormat.PNG, 90),
        request_id="r",
        created_ms=0,
    )
    jobs, queue = create_autospec(RedisJobStore), create_autospec(RedisQueue)
    jobs.unfinished.return_value = (job,)
    queue.put.return_value = True
    files = create_autospec(ObjectFileStore)
    upkeep = Upkeep(jobs=jobs, files=files, queue=queue, clock=ManualClock())
    with capture_logs(processors=[merge_contextvars]) as lines:
        await upkeep.put_again()
    assert [(line["job_id"], line["request_id"]) for line in lines] == [("a", "r")]
