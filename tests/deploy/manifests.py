"""Manifests as `kubectl kustomize` renders them, and ways to look at them."""

import subprocess
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deploy.tools import ROOT, tool

K8S: Final = ROOT / "k8s"
OVERLAYS: Final = ("dev", "shadow", "prod")
EXAMPLES: Final = ("authorizer", "istio", "envoy-gateway")

Manifest = dict[str, Any]
"""An object of Kubernetes, as YAML has it."""


def kustomize(folder: Path, *, kubectl: Path | None = None) -> str:
    """What a folder renders to, by our own kubectl or another."""
    done = subprocess.run(
        [kubectl or tool("kubectl"), "kustomize", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@cache
def _objects(folder: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(kustomize(folder)))


def overlay(name: str) -> list[Manifest]:
    """The objects of an overlay, for the caller to keep or break."""
    return deepcopy(_objects(K8S / "overlays" / name))


def example(name: str) -> list[Manifest]:
    """The objects of an example, for the caller to keep or break."""
    return deepcopy(_objects(K8S / "examples" / name))


def of_kind(objects: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of a kind, by name."""
    return {it["metadata"]["name"]: it for it in objects if it["kind"] == kind}


def the(objects: Iterable[Manifest], kind: str, name: str) -> Manifest:
    """The one object of this kind and name."""
    return of_kind(objects, kind)[name]


def pod_spec(workload: Manifest) -> Manifest:
    """What a workload's pods are made of."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def pod_labels(workload: Manifest) -> dict[str, str]:
    """The labels that a workload's pods have."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def containers(spec: Manifest) -> dict[str, Manifest]:
    """All containers of a pod by name, sidecars first."""
    return {it["name"]: it for it in (*spec.get("initContainers", []), *spec["containers"])}


def variables(container: Manifest) -> dict[str, Any]:
    """The variables of a container that are set one by one: values, or where they come from."""
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in container.get("env", [])}


def container_ports(spec: Manifest) -> dict[str, int]:
    """The ports that a pod names."""
    return {
        port["name"]: port["containerPort"]
        for container in containers(spec).values()
        for port in container.get("ports", [])
    }


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a selector by labels takes what has these."""
    assert set(selector) <= {"matchLabels"}, selector
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def references(spec: Manifest) -> Iterator[tuple[str, str, str | None, bool]]:
    """Every ConfigMap and Secret that a pod needs: kind, name, key if it is one, and must it be."""
    for volume in spec.get("volumes", []):
        for field, kind, name in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
        ):
            if source := volume.get(field):
                keys = [item["key"] for item in source.get("items", [])] or [None]
                yield from ((kind, source[name], key, True) for key in keys)
    for container in containers(spec).values():
        for source in container.get("envFrom", []):
            ((field, named),) = source.items()
            kind = "ConfigMap" if field == "configMapRef" else "Secret"
            yield kind, named["name"], None, True
        for value in variables(container).values():
            if isinstance(value, dict):
                ((field, source),) = value.items()
                kind = "ConfigMap" if field == "configMapKeyRef" else "Secret"
                yield kind, source["name"], source["key"], not source.get("optional", False)
