"""One worker's life: configure Envoy, listen, serve, drain, stop."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import structlog

from authz_service.app import Application, build
from authz_service.core.rules import Policy
from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render, write
from authz_service.errors import ListenError
from authz_service.settings import Settings
from authz_service.transports.listeners import listen

_log = structlog.get_logger(__name__)

# Longer than Envoy lets a check take, so that nothing in flight is cut off.
_GRACE_SECONDS = 2.0


async def serve(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ConfigurationError: settings, policy or keys are wrong; nothing was started.
        ListenError: the address is taken, or the run folder cannot be written.
    """
    application = build(settings, environment)
    stop = _stop_event()
    write_envoy_files(application.policy, settings, settings.run_dir)
    listen(application.server, settings.listen_address)
    await application.server.start()
    _log_start(application, settings)
    await stop.wait()
    await _drain(application)


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
        authz_sockets=(settings.listen_address.removeprefix("unix:"),),
        admin_socket=str(settings.run_dir / "envoy-admin.sock"),
        google_cloud_project=settings.google_cloud_project,
        upstream_host=host or None,
        upstream_port=int(port) if port else None,
    )


def _stop_event() -> asyncio.Event:
    """Set by the first signal. A second one has its default effect: the process ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _log_start(application: Application, settings: Settings) -> None:
    _log.info(
        "serving",
        listen=settings.listen_address,
        grpc_server=settings.grpc_server.value,
        policy=application.policy.digest,
        routes=len(application.policy.routes),
        keys=len(application.keys),
    )
    if settings.store_url.get_secret_value().startswith("memory:"):
        _log.warning("counting in this process's memory: REDIS_URL is not set")
    for route in application.policy.routes:
        if route.global_limits:
            _log.warning("global_limits are read but not enforced yet", route=route.name)


async def _drain(application: Application) -> None:
    """Health first, so that no new check is sent here; then let those in flight finish."""
    application.health.drain()
    await application.server.stop(_GRACE_SECONDS)
    await application.store.close()
    _log.info("stopped")
