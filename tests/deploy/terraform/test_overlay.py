"""The production overlay refers to what the example makes, by the same names."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.deploy.manifests import Manifest, of_kind, overlay, the
from tests.deploy.terraform.workspace import Json

pytestmark = pytest.mark.deploy


@pytest.fixture(scope="module")
def prod() -> list[Manifest]:
    """The objects of the overlay."""
    return overlay("prod")


def test_the_gateway_refers_to_the_edge(prod: list[Manifest], plan_of_example: Json) -> None:
    """Address, certificates, TLS policy and Cloud Armor policy."""
    gateway = the(prod, "Gateway", "imagen")
    (edge,) = of_kind(prod, "GCPGatewayPolicy").values()
    (backend,) = of_kind(prod, "GCPBackendPolicy").values()

    assert plan_of_example["planned_values"]["outputs"]["gateway"]["value"] == {
        "address_name": gateway["spec"]["addresses"][0]["value"],
        "certificate_map_name": gateway["metadata"]["annotations"]["networking.gke.io/certmap"],
        "ssl_policy_name": edge["spec"]["default"]["sslPolicy"],
        "security_policy_name": backend["spec"]["default"]["securityPolicy"],
    }


def test_pods_are_the_accounts_that_were_made(prod: list[Manifest], plan_of_example: Json) -> None:
    """Each service account names its Google account, which lets in that service account alone."""
    accounts = of_kind(prod, "ServiceAccount")
    made = resources(plan_of_example, "module.identity")

    for name in ("api", "worker"):
        account = accounts[f"imagen-{name}"]["metadata"]
        email = account["annotations"]["iam.gke.io/gcp-service-account"]
        assert (
            email.split("@")[0] == made[f'google_service_account.workload["{name}"]']["account_id"]
        )
        pods = made[f'google_service_account_iam_member.pods["{name}"]']["member"]
        assert pods.endswith(f"[{account['namespace']}/{account['name']}]")


def test_pods_get_their_accounts_when_the_cluster_is_there(plan_of_example: Json) -> None:
    """Before a project's first cluster IAM knows none of its pods, and refuses to name them."""
    identity = plan_of_example["configuration"]["root_module"]["module_calls"]["identity"]

    assert identity["depends_on"] == ["google_container_cluster.imagen"]


def test_authorities_are_mounted_where_urls_look(
    prod: list[Manifest], plan_of_example: Json
) -> None:
    """The overlay's URLs name the same files as those of the example."""
    settings = of_kind(prod, "ConfigMap")
    (data,) = (it["data"] for it in settings.values() if "IMAGE_QUEUE_URL" in it["data"])
    named = {
        server: parse_qs(urlsplit(data[variable]).query)["ssl_ca_certs"][0]
        for server, variable in (("counters", "REDIS_URL"), ("jobs", "IMAGE_QUEUE_URL"))
    }

    assert plan_of_example["planned_values"]["outputs"]["ca_paths"]["value"] == named


def resources(plan: Json, module: str) -> dict[str, Any]:
    """What a module plans, by its address there."""
    (found,) = (
        it
        for it in plan["planned_values"]["root_module"]["child_modules"]
        if it["address"] == module
    )
    return {it["address"].removeprefix(f"{module}."): it["values"] for it in found["resources"]}
