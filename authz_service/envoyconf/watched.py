"""How Envoy follows a file: it reads it anew whenever something is renamed into the folder."""

from authz_service.envoyconf.model import EnvoySettings, Object


def watched(settings: EnvoySettings, name: str) -> Object:
    """A `ConfigSource` for one of the rendered files."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(settings.run_dir / name),
            "watched_directory": {"path": str(settings.run_dir)},
        },
    }
