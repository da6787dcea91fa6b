"""The service's life: start, listen, drain, stop. Every task started here is owned here."""

import asyncio
import contextlib
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam, web

from image_service.app import Service, build
from image_service.clock import SystemClock
from image_service.connection import connection_factory
from image_service.engine import Engine
from image_service.errors import ListenError
from image_service.observe import ctx_logger
from image_service.settings import Address, Settings
from image_service.workspace import workspace

DRAIN_S: Final = 25.0
"""Less than the 30 seconds that Kubernetes gives a pod by default."""

_EXPIRY_EVERY_S: Final = 60.0
_CLOSE_S: Final = 1.0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ListenError: the address cannot be listened on.
        DecoderError: the decoder processes do not start.
    """
    _quieten_form_parser()
    with workspace(Path(tempfile.gettempdir())) as folder:
        service = build(settings, clock=SystemClock(), folder=folder)
        stop = _stop_signal()
        async with (
            running(service, settings.listen) as address,
            listening(service.operations_app, settings.operations_listen) as operations,
        ):
            ctx_logger.info("Ready", address=str(address), operations=str(operations))
            await stop.wait()
            ctx_logger.info("Draining")
            await drain(service)
        ctx_logger.info("Stopped")


@asynccontextmanager
async def running(service: Service, listen: Address) -> AsyncIterator[Address]:
    """Have the service answer at the address that is given out, for as long as the block lasts.

    Raises:
        ListenError: the address cannot be listened on.
        DecoderError: the decoder processes do not start.
    """
    async with _decoders(service), asyncio.TaskGroup() as owner:
        async with listening(service.web_app, listen) as address:
            tasks = [
                owner.create_task(service.worker.run()),
                owner.create_task(_expire(service.engine)),
            ]
            yield address
        for task in tasks:
            task.cancel()


async def drain(service: Service, *, within_s: float = DRAIN_S) -> None:
    """Refuse new jobs, and wait for requests and jobs in hand; what lasts longer is lost."""
    service.readiness.drain()
    try:
        async with asyncio.timeout(within_s):
            await service.readiness.quiet()
            await service.worker.idle()
    except TimeoutError:
        ctx_logger.warning("Drain time is over; work in hand is lost")


@asynccontextmanager
async def _decoders(service: Service) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as starting:
            for sandbox in service.sandboxes:
                starting.create_task(sandbox.start())
        yield
    finally:
        for sandbox in service.sandboxes:
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


async def _expire(engine: Engine) -> None:
    while True:
        await asyncio.sleep(_EXPIRY_EVERY_S)
        await engine.expire()


def _quieten_form_parser() -> None:
    """Keep the parser from warning of what it cannot read in the client's own words.

    They have no place in our output, and Python remembers every new wording for good.
    """
    for category in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", category)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    return stop
