"""Overlays and examples pass the judges of manifests, and each judge refuses what is broken."""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.checkov import reports
from tests.deploy.manifests import (
    EXAMPLES,
    K8S,
    OVERLAYS,
    Manifest,
    containers,
    example,
    kustomize,
    overlay,
    pod_spec,
    the,
)
from tests.deploy.pod_security import violations
from tests.deploy.tools import ROOT, tool

pytestmark = pytest.mark.deploy

# The oldest that has every field we use without a feature gate.
KUBERNETES = "1.33"
CRDS = ROOT / "tests" / "deploy" / "crds"
CUSTOM = (
    *("gateway.networking.k8s.io", "networking.gke.io", "monitoring.coreos.com"),
    *("cert-manager.io", "networking.istio.io", "security.istio.io"),
)
# Their API types were read by hand: no package of types and schemas has them.
UNJUDGED = {
    ("gateway.envoyproxy.io/v1alpha1", "ClientTrafficPolicy"),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"),
    ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy"),
}
SHOWN = [
    *(pytest.param(partial(overlay, name), id=name) for name in OVERLAYS),
    *(pytest.param(partial(example, name), id=name) for name in EXAMPLES),
]
EDGE = {
    *("Gateway", "HTTPRoute", "GCPGatewayPolicy", "GCPBackendPolicy", "HealthCheckPolicy"),
    *("PodMonitor", "PrometheusRule"),
}


def is_custom(it: Manifest) -> bool:
    """Whether Kubernetes itself does not know the kind."""
    return it["apiVersion"].partition("/")[0] in CUSTOM


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_kubectl_of_this_machine_renders_the_same(name: str) -> None:
    """Older ones than ours know fewer forms of a patch, and some fall over them."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not on this machine")

    assert list(yaml.safe_load_all(kustomize(K8S / "overlays" / name, kubectl=Path(found)))) == (
        overlay(name)
    )


def judged(objects: list[Manifest]) -> list[Manifest]:
    """All but those that no judge knows."""
    return [it for it in objects if (it["apiVersion"], it["kind"]) not in UNJUDGED]


def schema_faults(objects: list[Manifest], folder: Path) -> list[str]:
    """What kubernetes-validate says, unknown fields and unknown kinds included."""
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects), "utf-8")
    done = subprocess.run(
        [tool("kubernetes-validate"), "--strict", "-k", KUBERNETES, file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) >= len(objects), done
    return [line for line in lines if not line.startswith("INFO ")]


@pytest.fixture(scope="session")
def custom_resource_faults() -> Callable[[list[Manifest]], list[str]]:
    """What the schemas and types of custom resources say."""
    node, npm = tool("node"), tool("npm")
    installed = CRDS / "node_modules" / ".package-lock.json"
    lock = CRDS / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--silent"], cwd=CRDS, check=True, timeout=300)
        installed.touch()

    def faults(objects: list[Manifest]) -> list[str]:
        done = subprocess.run(
            [node, "check.mjs"],
            cwd=CRDS,
            input=json.dumps(objects),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found: list[str] = json.loads(done.stdout)
        return found

    return faults


@pytest.mark.parametrize("objects", SHOWN)
def test_kubernetes_knows_every_field(
    objects: Callable[[], list[Manifest]], tmp_path: Path
) -> None:
    """Of its own kinds, with their types."""
    found = [it for it in judged(objects()) if not is_custom(it)]
    assert schema_faults(found, tmp_path) == []


@pytest.mark.timeout(360)
@pytest.mark.parametrize(
    ("render", "name", "kinds"),
    [
        (overlay, "shadow", EDGE),
        (overlay, "prod", EDGE),
        (example, "istio", {"Certificate", "DestinationRule", "AuthorizationPolicy"}),
        (
            *(example, "envoy-gateway"),
            {"Certificate", "BackendTLSPolicy", "Gateway", "HTTPRoute", "ReferenceGrant"},
        ),
    ],
)
def test_custom_resources_keep_their_schemas(
    render: Callable[[str], list[Manifest]],
    name: str,
    kinds: set[str],
    custom_resource_faults: Callable[[list[Manifest]], list[str]],
) -> None:
    """Values and fields of kinds that others have brought into the cluster."""
    custom = [it for it in render(name) if is_custom(it)]

    assert {it["kind"] for it in custom} == kinds
    assert custom_resource_faults(custom) == []


def test_what_is_not_judged_is_there() -> None:
    """The list of exceptions has no more in it than the examples need."""
    shown = {(it["apiVersion"], it["kind"]) for name in EXAMPLES for it in example(name)}

    assert shown >= UNJUDGED


@pytest.mark.parametrize("objects", SHOWN)
def test_every_pod_is_restricted(objects: Callable[[], list[Manifest]]) -> None:
    """Pod Security "restricted" holds for every container, and the namespace enforces it."""
    shown = objects()
    pods = [it for it in shown if it["kind"] == "Deployment"]

    assert {"imagen-api", "authz-service"} & {it["metadata"]["name"] for it in pods}
    assert [it for pod in pods for it in violations(pod_spec(pod))] == []
    for pod in pods:
        labels = the(shown, "Namespace", pod["metadata"]["namespace"])["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.timeout(300)
def test_checkov_finds_nothing_unexplained() -> None:
    """In trial, production and examples; beside them, a container that may do all is found."""
    results = reports()["kubernetes"]["results"]
    failed = {f"{it['check_id']} {it['resource']}" for it in results["failed_checks"]}

    assert "CKV_K8S_16 Deployment.bad.redis" in failed
    assert {it for it in failed if ".bad." not in it} == set()


@pytest.mark.parametrize("container", ["authz", "envoy", "api"])
def test_a_misspelt_field_is_found(container: str, tmp_path: Path) -> None:
    """Deep inside a container, also one of the sidecars."""
    deployment = the(overlay("prod"), "Deployment", "imagen-api")
    probe = containers(pod_spec(deployment))[container]["readinessProbe"]
    probe["periodSecond"] = probe.pop("periodSeconds")

    (fault,) = schema_faults([deployment], tmp_path)
    assert "'periodSecond' was unexpected" in fault


def test_an_unknown_kind_is_found(tmp_path: Path) -> None:
    """What kubernetes-validate only warns about is a fault here."""
    deployment = the(overlay("prod"), "Deployment", "imagen-api")
    deployment["kind"] = "Deploymnet"

    (fault,) = schema_faults([deployment], tmp_path)
    assert fault.startswith("WARN ")


BROKEN: dict[str, tuple[str, str, tuple[str | int, ...], str, object]] = {
    "unknown field": ("GCPBackendPolicy", "imagen-api", ("spec", "default"), "securityPolcy", "x"),
    "out of range": (
        *("GCPBackendPolicy", "imagen-api", ("spec", "default", "connectionDraining")),
        *("drainingTimeoutSec", 3601),
    ),
    "wrong type": ("HealthCheckPolicy", "imagen-api", ("spec", "default"), "timeoutSec", "5"),
    "wrong word": ("Gateway", "imagen", ("spec", "listeners", 0), "port", "https"),
    "endpoints": (
        *("PodMonitor", "imagen-api", ("spec", "podMetricsEndpoints", 0)),
        *("intervall", "15s"),
    ),
    "rule": ("PrometheusRule", "imagen", ("spec", "groups", 0, "rules", 0), "exprr", "up"),
    "route": ("HTTPRoute", "imagen-api", ("spec", "rules", 0), "backendRef", []),
    "policy of a gateway": ("GCPGatewayPolicy", "imagen", ("spec", "targetRef"), "kinds", "x"),
}


@pytest.mark.timeout(360)
def test_a_broken_custom_resource_is_found(
    custom_resource_faults: Callable[[list[Manifest]], list[str]],
) -> None:
    """One fault in one field of each kind, and the judge names each object."""
    objects = []
    for kind, name, path, field, value in BROKEN.values():
        broken = the(overlay("prod"), kind, name)
        inner: Any = broken
        for part in path:
            inner = inner[part]
        inner[field] = value
        broken["metadata"]["name"] = f"{name}-{field}"
        objects.append(broken)

    told = custom_resource_faults(objects)

    places = [f"{it['kind']}/{it['metadata']['name']}: " for it in objects]
    assert [place for place in places if not any(it.startswith(place) for it in told)] == []


LOOSE: dict[str, Callable[[Manifest], object]] = {
    "envoy: capabilities drop": lambda pod: containers(pod)["envoy"]["securityContext"].pop(
        "capabilities"
    ),
    "envoy: allowPrivilegeEscalation": lambda pod: containers(pod)["envoy"]["securityContext"].pop(
        "allowPrivilegeEscalation"
    ),
    "more: privileged": lambda pod: pod["containers"].append(
        {**containers(pod)["api"], "name": "more", "securityContext": {"privileged": True}}
    ),
    "authz: runAsUser": lambda pod: containers(pod)["authz"]["securityContext"].update(runAsUser=0),
    "api: seccompProfile": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "api: runAsNonRoot": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "api: hostPort": lambda pod: containers(pod)["api"]["ports"][0].update(hostPort=80),
    "api: capabilities add": lambda pod: containers(pod)["api"]["securityContext"][
        "capabilities"
    ].update(add=["NET_ADMIN"]),
    "volume host: hostPath": lambda pod: pod["volumes"].append(
        {"name": "host", "hostPath": {"path": "/"}}
    ),
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
}


@pytest.mark.parametrize(("told", "loosen"), LOOSE.items(), ids=LOOSE.keys())
def test_a_loose_pod_is_found(told: str, loosen: Callable[[Manifest], object]) -> None:
    """Whichever container it is, and the judge says what is wrong."""
    pod = pod_spec(the(overlay("prod"), "Deployment", "imagen-api"))
    loosen(pod)

    assert told in list(violations(pod))
