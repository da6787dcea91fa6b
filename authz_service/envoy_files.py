"""Envoy's configuration as this service writes it: the settings' part, and the files."""

from pathlib import Path

from authz_service.addresses import HostAndPort
from authz_service.core.rules import Policy
from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render, write
from authz_service.errors import ListenError
from authz_service.run_folder import ADMIN_SOCKET
from authz_service.settings import Settings
from authz_service.worker_addresses import local_addresses

# Who listens on every interface is found on this one.
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def admin_socket(settings: Settings) -> Path:
    """Where Envoy's admin interface listens, for our user alone."""
    return settings.run_dir / ADMIN_SOCKET


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
    upstream, metrics = settings.upstream, settings.public_metrics
    collector = settings.otlp_endpoint
    return EnvoySettings(
        public_host=settings.public_host,
        public_port=settings.public_port,
        scrape_host=settings.scrape_host,
        scrape_port=settings.scrape_port,
        run_dir=settings.run_dir,
        authz_sockets=tuple(map(_worker, local_addresses(settings))),
        admin_socket=str(admin_socket(settings)),
        google_cloud_project=settings.google_cloud_project,
        collector=(collector.host, collector.port) if collector else None,
        trace_sampling=settings.trace_sampling,
        upstream_host=upstream.host if upstream else None,
        upstream_port=upstream.port if upstream else None,
        metrics_address=(metrics.host, metrics.port) if metrics else None,
    )


def _worker(listen_address: str) -> str:
    """Where Envoy finds a worker: a socket's path, or host and port without brackets."""
    if listen_address.startswith("unix:"):
        return listen_address.removeprefix("unix:")
    address = HostAndPort.parse(listen_address)
    host = _LOOPBACK_OF.get(address.host, address.host)
    return f"{host}:{address.port}"
