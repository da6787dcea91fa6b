"""What `kubectl kustomize` makes of a folder, as a kubelet reads it."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.manifests import kustomize

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Documents that are sent to a cluster."""

    documents: tuple[Object, ...]

    def one(self, kind: str, name: str) -> Object | None:
        """The document of this kind and name."""
        for document in self.documents:
            if (document["kind"], document["metadata"]["name"]) == (kind, name):
                return document
        return None

    def pod(self, deployment: str) -> Any:  # noqa: ANN401 - as it was read
        """The `spec` of the pods of a Deployment."""
        found = self.one("Deployment", deployment)
        assert found is not None, f"no Deployment {deployment}"
        return found["spec"]["template"]["spec"]

    def data(self, kind: str, name: str) -> dict[str, bytes] | None:
        """The keys of a ConfigMap or a Secret; None if there is none of this name."""
        found = self.one(kind, name)
        if found is None:
            return None
        decode = base64.b64decode if kind == "Secret" else str.encode
        plain = {key: str.encode(value) for key, value in found.get("stringData", {}).items()}
        return {key: decode(value) for key, value in found.get("data", {}).items()} | plain

    def environment(self, container: Object, fields: Mapping[str, str]) -> dict[str, str]:
        """The variables of a container. `fields` are those of the pod itself, by their paths."""
        made: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            made |= self._all_of(source)
        for variable in container.get("env", ()):
            value = self._value(variable, fields)
            if value is not None:
                made[variable["name"]] = expanded(value, made)
        return made

    def _all_of(self, source: Object) -> dict[str, str]:
        ((kind, reference),) = source.items()
        found = self.data(
            {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], **_of(reference)
        )
        if found is None:
            assert reference.get("optional"), f"no {kind} {reference['name']}"
            return {}
        return {key: value.decode() for key, value in found.items()}

    def _value(self, variable: Object, fields: Mapping[str, str]) -> str | None:
        if "valueFrom" not in variable:
            return str(variable.get("value", ""))
        ((kind, reference),) = variable["valueFrom"].items()
        if kind == "fieldRef":
            return fields[reference["fieldPath"]]
        kinds = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
        found = (self.data(kinds[kind], **_of(reference)) or {}).get(reference["key"])
        assert found is not None or reference.get("optional"), f"{variable['name']}: {reference}"
        return None if found is None else found.decode()


def _of(reference: Object) -> dict[str, str]:
    return {"name": reference["name"]}


def render(folder: Path) -> Rendered:
    """Render a kustomization, without a cluster."""
    return Rendered(tuple(yaml.safe_load_all(kustomize(folder))))


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` of variables that are known, as in commands and values of a container."""
    return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda it: variables.get(it[1], it[0]), text)
