"""What both processes do alike: listen, keep decoders, wait for the signal to end."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from image_service.connection import connection_factory
from image_service.errors import ListenError, StoreError
from image_service.observe import ctx_logger
from image_service.sandbox import Sandbox
from image_service.settings import Address

DRAIN_S: Final = 25.0
"""Less than the 30 seconds that Kubernetes gives a pod by default."""

_CLOSE_S: Final = 1.0


@asynccontextmanager
async def decoders(sandboxes: Sequence[Sandbox]) -> AsyncIterator[None]:
    """Have every sandbox ready while the block lasts.

    Raises:
        DecoderError: one does not start.
    """
    try:
        async with asyncio.TaskGroup() as starting:
            for sandbox in sandboxes:
                starting.create_task(sandbox.start())
        yield
    finally:
        for sandbox in sandboxes:
            await sandbox.close()


@asynccontextmanager
async def listening(application: web.Application, listen: Address) -> AsyncIterator[Address]:
    """Have the application answer at the address that is given out, while the block lasts.

    Raises:
        ListenError: the address cannot be listened on.
    """
    runner = web.AppRunner(application, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        listener = await _listen(runner, listen)
        try:
            yield Address(*listener.sockets[0].getsockname()[:2])
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, listen: Address) -> asyncio.Server:
    if runner.server is None:
        raise ListenError("the web server is not set up")
    loop = asyncio.get_running_loop()
    connect = connection_factory(runner.server, loop)
    try:
        return await loop.create_server(connect, listen.host, listen.port)
    except OSError as error:
        raise ListenError(f"cannot listen on {listen}: {error.strerror or error}") from error


async def tell_risks(risks: Awaitable[Sequence[str]]) -> None:
    """Say at the start by which settings of its server the job store may lose jobs."""
    try:
        for risk in await risks:
            ctx_logger.warning("Accepted jobs are at risk", reason=risk)
    except StoreError as error:
        # It may come later; what needs it says so.
        ctx_logger.warning("The job store is not there yet", reason=str(error))


def stop_signal() -> asyncio.Event:
    """Set once the process is asked to end, by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    return stop
