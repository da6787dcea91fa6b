"""A worker process's life: take jobs and keep things tidy until SIGTERM, then finish or hand back.

As many of these as there is work for; they share the queue and the stores with every API process.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from image_service.app import Workshop, build_workshop
from image_service.clock import SystemClock
from image_service.observe import ctx_logger
from image_service.process import DRAIN_S, decoders, listening, stop_signal, tell_risks
from image_service.settings import Settings
from image_service.workspace import workspace


async def work(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is in hand or hand it back.

    Raises:
        ConfigurationError: a store's address cannot be used.
        ListenError: the address cannot be listened on.
        DecoderError: the decoder processes do not start.
    """
    with workspace(Path(tempfile.gettempdir())) as folder:
        workshop = build_workshop(settings, clock=SystemClock(), folder=folder)
        stop = stop_signal()
        async with (
            at_work(workshop),
            listening(workshop.operations_app, settings.worker_operations_listen) as operations,
        ):
            await tell_risks(workshop.stores.risks())
            ctx_logger.info("Ready", operations=str(operations), files=str(settings.files_url))
            await stop.wait()
            ctx_logger.info("Draining")
            await drain(workshop)
        ctx_logger.info("Stopped")


@asynccontextmanager
async def at_work(workshop: Workshop) -> AsyncIterator[None]:
    """Have jobs taken and things kept tidy while the block lasts; `drain` before it ends.

    Raises:
        DecoderError: the decoder processes do not start.
    """
    try:
        async with decoders(workshop.sandboxes), asyncio.TaskGroup() as owner:
            tasks = [
                owner.create_task(workshop.worker.run()),
                owner.create_task(workshop.upkeep.run()),
            ]
            yield
            for task in tasks:
                task.cancel()
    finally:
        await workshop.stores.close()
        await workshop.tracing.close()


async def drain(workshop: Workshop, *, within_s: float = DRAIN_S) -> None:
    """Take no more jobs; finish those in hand, and hand back what lasts longer."""
    workshop.readiness.drain()
    await workshop.worker.drain(within_s=within_s)
