"""The examples for meshes: what they set is what the service reads."""

from pathlib import Path
from typing import Any, Final

import yaml

from authz_service.policy.sources import load_policy
from authz_service.settings import Settings, load_settings
from authz_service.worker_addresses import open_addresses

EXAMPLES: Final = Path(__file__).parents[2] / "k8s" / "examples"
AUTHORIZER: Final = EXAMPLES / "authorizer"


def test_the_policy_of_the_example_loads() -> None:
    """It is whole, and says what its gateways let in."""
    policy = load_policy(AUTHORIZER / "policy.yaml", {})
    assert [route.name for route in policy.routes] == ["orders", "catalogue"]


def test_the_deployment_of_the_example_starts(tmp_path: Path) -> None:
    """Every variable is one of ours, all of them fit together, and the port is not open."""
    container = _container(AUTHORIZER / "authorizer.yaml")
    variables = {it["name"]: it.get("value", "redis://store") for it in container["env"]}
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert set(variables) <= known

    file = tmp_path / "any"
    file.touch()
    here = {"AUTHZ_POLICY_FILE": str(file), "AUTHZ_KEYS_FILE": str(file)}
    settings = load_settings(variables | here)
    assert open_addresses(settings) == []
    ports = {it["containerPort"] for it in container["ports"]}
    assert ports == {9101, settings.operations_listen.port}
    assert settings.listen_addresses == ("0.0.0.0:9101",)


def test_each_example_names_the_client_that_its_certificate_names() -> None:
    """The list of the authorizer and the certificate of the gateway, in two files, are one name."""
    for example in ("istio", "envoy-gateway"):
        patches = _documents(EXAMPLES / example / "kustomization.yaml")[0]["patches"]
        patch = yaml.safe_load(patches[-1]["patch"])
        (variable,) = patch["spec"]["template"]["spec"]["containers"][0]["env"]
        (certificate,) = _documents(EXAMPLES / example / "client-certificate.yaml")
        names = [*certificate["spec"].get("uris", ()), *certificate["spec"].get("dnsNames", ())]
        assert (variable["name"], [variable["value"]]) == ("AUTHZ_TLS_CLIENT_NAMES", names)


def test_no_client_of_the_example_writes_its_own_address() -> None:
    """Envoy Gateway may leave the header alone: the example removes what arrives."""
    (policy,) = [
        it
        for it in _documents(EXAMPLES / "envoy-gateway" / "gateway.yaml")
        if it["kind"] == "ClientTrafficPolicy"
    ]
    assert policy["spec"]["headers"]["earlyRequestHeaders"]["remove"] == [
        "x-envoy-external-address"
    ]


def _container(file: Path) -> dict[str, Any]:
    (deployment,) = [it for it in _documents(file) if it["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def _documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text("utf-8")))
