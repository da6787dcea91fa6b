"""Routes in shadow: Envoy refuses nothing there on the policy's behalf."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.unit.envoyconf.builders import FILE_LIMITS, OVERHEAD

_UPSCALE = "/api/v1/images/upscale"
_LIMITS = "/api/v1/images/limits"


@pytest.fixture(scope="module")
def public(
    settings: EnvoySettings,
    authz: StubAuthz,  # noqa: ARG001  (it has to serve before Envoy asks)
    upstream: StubUpstream,
) -> Iterator[Client]:
    """The door of an Envoy whose uploads are in shadow, and whose other routes are not."""
    policy = policy_for(upstream)
    routes = tuple(replace(route, shadow=route.name == "upscale") for route in policy.routes)
    folder = short_folder()
    own = replace(local_settings(folder), authz_sockets=settings.authz_sockets)
    with running(render(replace(policy, routes=routes), own), own) as envoy:
        yield envoy.public
    shutil.rmtree(folder)


def test_credentials_reach_the_application_in_shadow_alone(public: Client) -> None:
    """It goes on judging them itself; elsewhere nothing of them gets through."""
    key = ("x-api-key", "free")
    shadowed = public.send("POST", _UPSCALE, key).json()["headers"]
    enforced = public.send("GET", _LIMITS, key).json()["headers"]
    assert ["x-api-key", "free"] in shadowed
    assert "x-api-key" not in {name for name, _ in enforced}


def test_a_body_above_the_limit_passes_in_shadow(public: Client) -> None:
    """The size is the tier's to limit, and in shadow the tier has no say."""
    length = FILE_LIMITS["free"] + OVERHEAD + 1
    lines = (f"POST {_UPSCALE} HTTP/1.1", "host: a", "x-api-key: free", f"content-length: {length}")
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    answer = public.raw(head + b"x" * length, method="POST")
    assert (answer.status, answer.json()["received"]) == (200, length)
