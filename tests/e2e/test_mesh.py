"""The service as the authorizer of a mesh, behind an Envoy that nothing here has configured."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from tests.e2e.mesh import SERVER, SPARING, STEADY, Mesh, mesh
from tests.e2e.processes import eventually
from tests.e2e.traffic import traffic

FORGED: Final = {
    "x_authz_subject": "key:root",
    "x_authz_tier": "gold",
    "x_authz_key_id": "root",
    "x_authz_limits": "none",
}
STEADY_CALLER: Final = "key:steady;steady;steady;"
NOBODY: Final = "anon:127.0.0.1;anonymous;;"
EXPIRY: Final = "authz_tls_certificate_expiry_timestamp_seconds"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Mesh]:
    """The mesh, for all tests of this module."""
    with mesh() as running:
        yield running


def test_the_application_sees_who_asks(gateway: Mesh) -> None:
    """The route is found by method and path, and the credential goes no further."""
    assert gateway.get("/v1/things", x_api_key=STEADY) == (200, STEADY_CALLER)
    reply = gateway.client.get("/v1/things", [("x-api-key", STEADY)])
    assert reply.values("x-seen-key") == []
    assert reply.header("x-ratelimit-limit")


def test_nothing_that_a_client_forged_gets_through(gateway: Mesh) -> None:
    """What is said of the caller is replaced or taken away, also for callers without a name."""
    assert gateway.get("/v1/things", x_api_key=STEADY, **FORGED) == (200, STEADY_CALLER)
    assert gateway.get("/v1/open/a", **FORGED) == (200, NOBODY)
    assert gateway.get("/v1/free", **FORGED) == (200, NOBODY)
    assert gateway.get("/v1/watched", **FORGED) == (200, NOBODY)
    forged = gateway.get("/v1/open/a", x_envoy_external_address="203.0.113.9")
    assert forged == (200, NOBODY)
    doubled = gateway.client.get("/v1/open/a", [("x-authz-key-id", "root")] * 2)
    assert doubled.header("x-seen") == NOBODY


def test_refusals_are_the_services_own(gateway: Mesh) -> None:
    """401 and 429 as behind an Envoy of ours; two keys in one request are one too many."""
    refused = gateway.client.get("/v1/things")
    assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")
    assert refused.header("www-authenticate")
    assert gateway.client.get("/v1/things", [("x-api-key", STEADY)] * 2).status == 401

    statuses = [gateway.get("/v1/things", x_api_key=SPARING)[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    over = gateway.client.get("/v1/things", [("x-api-key", SPARING)])
    assert int(over.header("retry-after")) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/v2/things",
        "/v1/open/..",
        "/v1/open/%2e%2E",
        "/v1/open/..%2fthings",
        "/v1/open/a%5c..%5cthings",
        "/v1/open//things",
    ],
)
def test_a_path_with_two_meanings_is_no_open_door(gateway: Mesh, path: str) -> None:
    """This gateway normalises nothing: what the application could read otherwise is refused."""
    reply = gateway.client.get(path, [("x-api-key", STEADY)])
    assert (reply.status, reply.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize("asks", ["neighbour", "stranger"])
def test_whoever_may_not_ask_gets_nothing_through(gateway: Mesh, asks: str) -> None:
    """Another workload of the mesh, or the right name by a wrong authority: failing is refusing."""
    assert gateway.get("/v1/things", x_api_key=STEADY, x_asks=asks) == (403, "")
    if asks == "neighbour":
        assert gateway.metric("authz_tls_clients_refused_total") >= 1


def test_a_certificate_changes_and_no_request_is_lost(gateway: Mesh) -> None:
    """Renewed three times, once by halves: every request is answered, by the new one in the end."""
    ends = [datetime(2800, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    with traffic(gateway.client.port, path="/v1/things", headers={"x-api-key": STEADY}) as flow:
        for end in ends[:2]:
            gateway.mount(gateway.authority.sign(SERVER, ends=end))
            _until_expiry(gateway, end)
        last = gateway.authority.sign(SERVER, ends=ends[2])
        (gateway.folder / "tls.crt").write_bytes(last.certificate)
        eventually(lambda: gateway.metric("authz_tls_reload_failed") == 1)
        before = gateway.handshakes()
        eventually(lambda: gateway.handshakes() > before + 2)
        (gateway.folder / "tls.key").write_bytes(last.key)
        _until_expiry(gateway, ends[2])
        before = gateway.handshakes()
        eventually(lambda: gateway.handshakes() > before + 2)
    assert gateway.metric("authz_tls_reload_failed") == 0
    assert set(flow.outcomes) == {"200"}


def _until_expiry(gateway: Mesh, end: datetime) -> None:
    eventually(lambda: gateway.metric(EXPIRY) == end.timestamp())
