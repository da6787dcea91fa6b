"""Duties that are done again and again, whatever happens in between."""

import asyncio

import pytest
from structlog.testing import capture_logs

from image_service.errors import FilesError, StoreError
from image_service.upkeep import _Duty, _repeat


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
