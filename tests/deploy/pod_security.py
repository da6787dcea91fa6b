"""The Pod Security Standards' profile "restricted", as far as Linux pods go.

Sidecars are init containers, and they are judged as every other container is.
"""

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
_PROFILES: Final = frozenset({"RuntimeDefault", "Localhost"})
_GROUPS: Final = ("initContainers", "containers", "ephemeralContainers")
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")

Spec = dict[str, Any]


def violations(pod: Spec) -> Iterator[str]:
    """What the profile refuses about a pod."""
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']}: {kind}" for kind in {*volume} - {"name"} - _VOLUMES)
    shared = pod.get("securityContext", {})
    yield from (f"sysctl {it['name']}" for it in shared.get("sysctls", []))
    for group in _GROUPS:
        for container in pod.get(group, []):
            for problem in _of_container(container, shared):
                yield f"{container['name']}: {problem}"


def _of_container(container: Spec, shared: Spec) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**shared, **own}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser") == 0:
        yield "runAsUser"
    if both.get("seccompProfile", {}).get("type") not in _PROFILES:
        yield "seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if {"type", "user", "role"} & {*both.get("seLinuxOptions", {})}:
        yield "seLinuxOptions"
    yield from _capabilities(own.get("capabilities", {}))
    yield from ("hostPort" for port in container.get("ports", []) if port.get("hostPort"))
    yield from (
        f"{probe} host"
        for probe in _PROBES
        for handler in container.get(probe, {}).values()
        if isinstance(handler, dict) and handler.get("host")
    )


def _capabilities(capabilities: Spec) -> Iterator[str]:
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities drop"
    if {*capabilities.get("add", [])} - {"NET_BIND_SERVICE"}:
        yield "capabilities add"
