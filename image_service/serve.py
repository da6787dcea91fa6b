"""The API process's life: start, listen, drain, stop. No image is enlarged in it; see `work.py`."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from image_service.app import Service, build
from image_service.clock import SystemClock
from image_service.observe import ctx_logger
from image_service.process import DRAIN_S, decoders, listening, stop_signal, tell_risks
from image_service.settings import Address, Settings
from image_service.waiting import in_time
from image_service.workspace import workspace

_WAITING_SHARE: Final = 0.8
"""How much of the drain time goes by before those who wait for a job get 202."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ConfigurationError: a store's address cannot be used.
        ListenError: the address cannot be listened on.
        DecoderError: the decoder process does not start.
    """
    with workspace(Path(tempfile.gettempdir())) as folder:
        service = build(settings, clock=SystemClock(), folder=folder)
        stop = stop_signal()
        async with (
            running(service, settings.listen) as address,
            listening(service.operations_app, settings.operations_listen) as operations,
        ):
            await tell_risks(service.stores.risks())
            ctx_logger.info(
                "Ready",
                address=str(address),
                operations=str(operations),
                files=str(settings.files_url),
            )
            await stop.wait()
            ctx_logger.info("Draining")
            await drain(service)
        ctx_logger.info("Stopped")


@asynccontextmanager
async def running(service: Service, listen: Address) -> AsyncIterator[Address]:
    """Have the service answer at the address that is given out, for as long as the block lasts.

    Raises:
        ListenError: the address cannot be listened on.
        DecoderError: the decoder process does not start.
    """
    try:
        async with decoders(service.sandboxes), listening(service.web_app, listen) as address:
            yield address
    finally:
        await service.stores.close()
        await service.tracing.close()


async def drain(service: Service, *, within_s: float = DRAIN_S) -> None:
    """Refuse new jobs, and wait for requests in hand; what lasts longer is cut off.

    Who waits for a job is told where it is before that.
    """
    service.readiness.drain()
    if await in_time(service.readiness.quiet(), within_s * _WAITING_SHARE):
        return
    service.readiness.call_last()
    if not await in_time(service.readiness.quiet(), within_s * (1 - _WAITING_SHARE)):
        ctx_logger.warning("Drain time is over; requests in hand are cut off")
