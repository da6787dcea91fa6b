"""The service's life: configure Envoy, keep workers running, follow the files, stop in order."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from authz_service.clock import SystemClock
from authz_service.configuration import Configuration, ConfigurationWatch, load_configuration
from authz_service.core.rules import Policy
from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render, write
from authz_service.errors import ListenError, StackError
from authz_service.settings import Settings
from authz_service.signals import stop_event, until
from authz_service.supervise.process import Part
from authz_service.supervise.workers import Workers
from authz_service.transports.probe import is_serving

_log = structlog.get_logger(__name__)


async def serve(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Must run in the main thread.

    Raises:
        ConfigurationError: settings, policy or keys are wrong; nothing was started.
        ListenError: an address is taken, or the run folder cannot be written.
        StackError: the workers die faster than it makes sense to start them.
    """
    stop = stop_event()
    configuration = load_configuration(settings, environment)
    write_envoy_files(configuration.policy, settings, settings.run_dir)
    workers = Workers(
        lambda index: worker_part(index, settings, environment),
        count=settings.workers,
        clock=SystemClock(),
    )
    watch = ConfigurationWatch(
        settings=settings,
        environment=environment,
        current=configuration,
        adopt=lambda loaded: _adopt(loaded, settings),
    )
    _log_start(configuration, settings)
    try:
        await until(stop, _run(workers, watch))
    finally:
        await workers.stop()
    _log.info("stopped")


async def _run(workers: Workers, watch: ConfigurationWatch) -> None:
    """Everything that goes on while the service serves; the first failure ends it."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workers.run())
            tasks.create_task(watch.run())
    except* StackError as group:
        raise group.exceptions[0] from None


def worker_part(index: int, settings: Settings, environment: Mapping[str, str]) -> Part:
    """How one worker is started, and how to ask it whether it serves."""
    address = settings.listen_addresses[index]
    return Part(
        name=f"worker {index}",
        command=(sys.executable, "-m", "authz_service", "worker", str(index)),
        ready=lambda: is_serving(address),
        environment=environment,
    )


async def _adopt(loaded: Configuration, settings: Settings) -> None:
    await asyncio.to_thread(write_envoy_files, loaded.policy, settings, settings.run_dir)


def write_envoy_files(policy: Policy, settings: Settings, folder: Path) -> list[Path]:
    """Render Envoy's configuration into `folder` and name the files.

    Raises:
        ListenError: the folder cannot be written.
    """
    files = render(policy, envoy_settings(settings))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(files, folder)
    except OSError as error:
        raise ListenError(f"cannot write to {folder}: {error.strerror}") from error
    return [folder / name for name in files]


def envoy_settings(settings: Settings) -> EnvoySettings:
    """What Envoy's configuration needs of the settings."""
    host, _, port = (settings.upstream or "").rpartition(":")
    return EnvoySettings(
        public_host=settings.public_host,
        public_port=settings.public_port,
        scrape_host=settings.scrape_host,
        scrape_port=settings.scrape_port,
        run_dir=settings.run_dir,
        authz_sockets=tuple(address.removeprefix("unix:") for address in settings.listen_addresses),
        admin_socket=str(settings.run_dir / "envoy-admin.sock"),
        google_cloud_project=settings.google_cloud_project,
        upstream_host=host or None,
        upstream_port=int(port) if port else None,
    )


def _log_start(configuration: Configuration, settings: Settings) -> None:
    policy = configuration.policy
    _log.info(
        "starting",
        policy=policy.digest,
        routes=len(policy.routes),
        keys=len(configuration.keys),
        workers=settings.workers,
    )
    if settings.counts_in_memory:
        _log.warning("counting in this process's memory: REDIS_URL is not set")
    for route in policy.routes:
        if route.global_limits:
            _log.warning("global_limits are read but not enforced yet", route=route.name)
