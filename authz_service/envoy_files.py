"""Envoy's configuration as this service writes it: the settings' part, and the files."""

from pathlib import Path

from authz_service.core.rules import Policy
from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render, write
from authz_service.errors import ListenError
from authz_service.settings import Settings

ADMIN_SOCKET = "envoy-admin.sock"


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
    upstream = _address(settings.upstream)
    return EnvoySettings(
        public_host=settings.public_host,
        public_port=settings.public_port,
        scrape_host=settings.scrape_host,
        scrape_port=settings.scrape_port,
        run_dir=settings.run_dir,
        authz_sockets=tuple(address.removeprefix("unix:") for address in settings.listen_addresses),
        admin_socket=str(admin_socket(settings)),
        google_cloud_project=settings.google_cloud_project,
        upstream_host=upstream[0] if upstream else None,
        upstream_port=upstream[1] if upstream else None,
        metrics_address=_address(settings.public_metrics),
    )


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    return host, int(port)
