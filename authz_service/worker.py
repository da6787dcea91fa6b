"""One worker's life: listen, answer checks, follow the files, drain, stop."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from authz_service.app import Application, build, signing_key_sources
from authz_service.clock import SystemClock
from authz_service.configuration import (
    Configuration,
    ConfigurationWatch,
    TokenParts,
    load_configuration,
)
from authz_service.identity.jwks_source import JwksSources
from authz_service.observe.metrics import Metrics
from authz_service.observe.process_series import Process, ProcessSeries
from authz_service.observe.tracing import tracer_to
from authz_service.settings import Settings
from authz_service.signals import stop_event, until
from authz_service.transports.listeners import listen
from authz_service.transports.metrics_socket import MetricsSocket
from authz_service.worker_addresses import local_addresses

_log = structlog.get_logger(__name__)

# Longer than Envoy lets a check take, so that nothing in flight is cut off.
_GRACE_SECONDS = 2.0


def metrics_socket(index: int, settings: Settings) -> Path:
    """Where a worker tells its metrics."""
    return settings.run_dir / f"worker-{index}.sock"


async def work(index: int, settings: Settings, environment: Mapping[str, str]) -> None:
    """Answer checks at the worker's address until SIGTERM or SIGINT, then drain.

    Raises:
        ConfigurationError: settings, policy, keys or certificates are wrong; nothing was started.
        ListenError: the address is taken.
    """
    stop = stop_event()
    metrics = Metrics()
    metrics.register(ProcessSeries(Process.WORKER))
    sources = signing_key_sources(metrics)
    parts = TokenParts(remote=sources.find, looked_up=metrics.token_looked_up)
    configuration = load_configuration(settings, environment, parts)
    tracer = tracer_to(settings.traces_go_to, clock=SystemClock())
    application = build(settings, configuration, metrics, tracer)
    await sources.follow(configuration.credentials.tokens.sources)
    await application.store.connect()
    address = settings.listen_addresses[index]
    local = local_addresses(settings)[index]
    listen(application.server, local)
    if application.tls is not None and address != local:
        listen(application.server, address, application.tls.credentials())
    exposition = MetricsSocket(metrics_socket(index, settings), exposition=metrics.exposition)
    await exposition.start()
    await application.server.start()
    _log.info("serving", worker=index, listen=address, grpc_server=settings.grpc_server.value)
    watch = ConfigurationWatch(
        settings=settings,
        environment=environment,
        current=configuration,
        adopt=lambda loaded: _adopt(application, loaded, sources),
        judged=application.tell_loaded,
        parts=parts,
    )
    async with asyncio.TaskGroup() as tasks:
        upkeep = [tasks.create_task(run()) for run in (sources.run, *application.upkeep)]
        await until(stop, watch.run())
        await _drain(application, settings.drain_seconds)
        for task in upkeep:
            task.cancel()
    await exposition.stop()
    if tracer is not None:
        await tracer.close()


async def _adopt(application: Application, loaded: Configuration, sources: JwksSources) -> None:
    await sources.follow(loaded.credentials.tokens.sources)
    application.use(loaded)


async def _drain(application: Application, drain_s: float) -> None:
    """Health first; checks go on until Envoy has seen it; then let those in flight finish.

    The native server refuses new checks and closes its connections as soon as it is told to stop,
    so it is told when nobody asks any more.
    """
    application.health.drain()
    await asyncio.sleep(drain_s)
    await application.in_flight.until_idle(_GRACE_SECONDS)
    await application.server.stop(_GRACE_SECONDS)
    await application.store.close()
