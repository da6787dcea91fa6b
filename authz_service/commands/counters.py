"""The shared counters, as a command reaches them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from authz_service.clock import SystemClock
from authz_service.commands.command_line import STORE_TIMEOUT_MS
from authz_service.settings import Settings
from authz_service.storage.base import CounterStore
from authz_service.storage.from_url import store_from_url

NOT_SHARED: Final = "REDIS_URL: is required; counters in a worker's memory are its own"
"""What to say where no other process can reach them."""


@asynccontextmanager
async def counters(settings: Settings) -> AsyncIterator[CounterStore]:
    """The store of the settings, closed at the end."""
    store = store_from_url(
        settings.store_url.get_secret_value(),
        clock=SystemClock(),
        random=lambda: 0.5,  # one connection, tried once: there is nothing to spread
        timeout_ms=STORE_TIMEOUT_MS,
    )
    try:
        yield store
    finally:
        await store.close()
