"""Waiting for what may not come: until a time is up, or until something else has happened."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

First = TypeVar("First")
Second = TypeVar("Second")


async def in_time(what: Coroutine[object, object, object], within_s: float) -> bool:
    """Wait for it so long at most; whether it came."""
    try:
        async with asyncio.timeout(within_s):
            await what
    except TimeoutError:
        return False
    return True


async def race(
    first: Coroutine[object, object, First], second: Coroutine[object, object, Second]
) -> tuple[asyncio.Task[First], asyncio.Task[Second]]:
    """Run both until one of them ends, and cancel the other. Both tasks are over then."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tasks
