"""A pod of the shadow overlay, run as it is rendered."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from typing import Final

import pytest

from tests.conformance.storage.server import VALKEY, Server
from tests.deploy.filesystem import on_host
from tests.deploy.pod import Pod, running
from tests.deploy.programs import ROOT, Programs
from tests.deploy.rendered import Object, Rendered, render
from tests.e2e.processes import eventually

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(180)]

NAME: Final = "imagen-api"
METRICS_PORT: Final = 9102
LIMITS: Final = "/api/v1/images/limits"


@pytest.fixture(scope="module")
def pod(programs: Programs) -> Iterator[Pod]:
    """A pod of the image API in shadow."""
    with Server(VALKEY) as store:
        made = completed(render(ROOT / "k8s" / "overlays" / "shadow"), store)
        with running(made, programs, deployment=NAME, name="imagen-api-1") as started:
            yield started


def completed(rendered: Rendered, store: Server) -> Rendered:
    """With what is not in the overlay: secrets, made once by hand, and a store of files."""
    documents = Rendered(deepcopy(rendered.documents))
    url = f"unix://{on_host(store.socket)}"
    config = documents.one("ConfigMap", f"{NAME}-config")
    assert config is not None
    config["data"]["IMAGE_FILES_URL"] = "file:///tmp/files"
    secrets = (
        secret(f"{NAME}-secrets", API_KEYS="[]", REDIS_URL=url, IMAGE_QUEUE_URL=url),
        secret("imagen-redis-ca"),
    )
    return Rendered((*documents.documents, *secrets))


def secret(name: str, **keys: str) -> Object:
    """A Secret as it is kept."""
    data = {key: b64encode(value.encode()).decode() for key, value in keys.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


def test_a_pod_in_shadow_refuses_nobody(pod: Pod) -> None:
    """Without a key and with a wrong one the application is asked; the would-be verdict counts."""
    required = get(pod, 8000, "/api/v1/jobs/1")
    wrong = get(pod, 8000, LIMITS, **{"X-API-Key": "no-such-key"})

    assert (required[0], json.loads(required[1])["error"]["code"]) == (404, "JOB_NOT_FOUND")
    assert (wrong[0], json.loads(wrong[1])["tier"]) == (200, "anonymous")
    eventually(lambda: told_as_denied(pod) >= {"missing_credential", "unknown_key"})


def told_as_denied(pod: Pod) -> set[str]:
    """Why the sidecar would have refused requests, as its metrics tell."""
    text = get(pod, METRICS_PORT, "/metrics")[1].decode()
    return set(
        re.findall(
            r'^authz_shadow_decisions_total{.*decision="deny".*reason="(\w+)"', text, re.MULTILINE
        )
    )


def get(pod: Pod, port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """What a port of the pod answers."""
    connection = pod.connection(port)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
