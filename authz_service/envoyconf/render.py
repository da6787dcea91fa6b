"""The rendered files: deterministic YAML, and how they reach a running Envoy."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from authz_service.core.rules import Policy
from authz_service.envoyconf.bootstrap import bootstrap, standalone
from authz_service.envoyconf.clusters import upstream_cluster
from authz_service.envoyconf.listener import followed_routes, public_listener
from authz_service.envoyconf.model import (
    BOOTSTRAP_FILE,
    CLUSTERS_FILE,
    LISTENERS_FILE,
    ROUTES_FILE,
    EnvoySettings,
    Object,
)
from authz_service.envoyconf.routes import route_configuration

# A file stands behind all that it refers to: routes name clusters, listeners name routes.
_WRITE_ORDER = (CLUSTERS_FILE, ROUTES_FILE, LISTENERS_FILE, BOOTSTRAP_FILE)


def render(policy: Policy, settings: EnvoySettings) -> dict[str, str]:
    """File names and texts. The same policy and settings give the same bytes."""
    listener = public_listener(policy, settings, routes=followed_routes(settings))
    return {
        BOOTSTRAP_FILE: _yaml(bootstrap(policy, settings)),
        CLUSTERS_FILE: _resource(policy, upstream_cluster(policy, settings)),
        LISTENERS_FILE: _resource(policy, listener),
        ROUTES_FILE: _resource(policy, route_configuration(policy, settings)),
    }


def render_standalone(policy: Policy, settings: EnvoySettings) -> str:
    """One file that follows nothing, for `envoy --mode validate`: it never opens followed files."""
    return _yaml(standalone(policy, settings))


def write(files: Mapping[str, str], folder: Path) -> None:
    """Puts each file into `folder` by a rename, so that Envoy never reads half of one.

    All of them are written before the first is renamed: what can fail has failed by then.

    Raises:
        OSError: a file cannot be written; all of them are as they were.
    """
    for name in _WRITE_ORDER:
        _temporary(folder, name).write_text(files[name], encoding="utf-8")
    for name in _WRITE_ORDER:
        _temporary(folder, name).replace(folder / name)


def _temporary(folder: Path, name: str) -> Path:
    return folder / f".{name}.new"


def _resource(policy: Policy, resource: Object) -> str:
    """A `DiscoveryResponse`: Envoy reports its version as the one it serves."""
    return _yaml({"version_info": policy.digest, "resources": [resource]})


def _yaml(document: Object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Without anchors: a value that stands in two places is written twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True
