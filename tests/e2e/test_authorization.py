"""Who may do what, and what guessing costs, through the real Envoy."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running

LIMITS = "/api/v1/images/limits"
UPSCALE = "/api/v1/images/upscale"
JOB = "/api/v1/jobs/123"
RESULT = f"{JOB}/result"
WORKERS = 2


def policy() -> dict[str, Any]:
    """The default policy; uploads for some, jobs with a scope, results for tokens alone."""
    changed = default_policy_with_extra_tiers()
    rules = {
        "upscale": {"tiers": ["pro", "enterprise"]},
        "job": {"scopes": ["jobs:read", "jobs:write"]},
        "job-result": {"credentials": ["jwt"]},
    }
    for route in changed["routes"]:
        route.update(rules.get(route["name"], {}))
    changed["bad_credentials"] = "3/minute"
    return changed


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack under that policy."""
    with running(policy(), AUTHZ_GRPC_SERVER=request.param) as started:
        yield started


@pytest.fixture
def client(stack: Stack) -> Client:
    """A client of the public port."""
    return stack.client


def test_a_tier_that_may_not_is_403_and_counted(stack: Stack, client: Client) -> None:
    """With a reason to act on and what would do; each attempt takes one."""
    key = stack.fresh_key("free")

    first, second = client.upload(key, b""), client.upload(key, b"")

    assert (first.status, first.code) == (403, "FORBIDDEN")
    assert first.json()["error"]["details"] == {
        "reason": "tier_not_allowed",
        "needs": ["pro", "enterprise"],
    }
    assert first.header("x-request-id") == first.json()["error"]["request_id"]
    assert [it.header("x-ratelimit-remaining") for it in (first, second)] == ["9", "8"]


def test_a_tier_that_may_passes(stack: Stack, client: Client) -> None:
    """The application answers."""
    assert client.upload(stack.fresh_key("pro"), b"").code == "INVALID_IMAGE"


def test_a_scope_that_is_missing_is_named(client: Client) -> None:
    """All that the route needs, in the policy's words."""
    reply = client.get(JOB, [("X-API-Key", "test-key-reader")])

    assert (reply.status, reply.code) == (403, "FORBIDDEN")
    assert reply.json()["error"]["details"] == {
        "reason": "missing_scope",
        "needs": ["jobs:read", "jobs:write"],
    }
    assert not reply.values("www-authenticate")


def test_a_key_with_all_scopes_passes(client: Client) -> None:
    """The application answers, if only that there is no such job."""
    assert client.get(JOB, [("X-API-Key", "test-key-writer")]).code == "JOB_NOT_FOUND"


def test_a_key_is_no_token(stack: Stack, client: Client) -> None:
    """Where only tokens will do, a key of the best tier will not."""
    reply = client.get(RESULT, [("X-API-Key", stack.fresh_key("enterprise"))])

    assert reply.status == 403
    assert reply.json()["error"]["details"] == {
        "reason": "credential_not_allowed",
        "needs": ["jwt"],
    }


def test_guessing_keys_is_slowed_down_and_good_keys_are_not(stack: Stack, client: Client) -> None:
    """Each worker lets three a minute be 401; then 429, while a good key passes from there."""
    address = stack.fresh_address()

    replies = [
        client.get(LIMITS, [("X-API-Key", f"guess-{number:04}")], source=address)
        for number in range(3 * WORKERS + 6)
    ]
    good = client.get(LIMITS, [("X-API-Key", stack.fresh_key())], source=address)
    nobody = client.get(LIMITS, source=address)

    statuses = [reply.status for reply in replies]
    assert statuses[:3] == [401] * 3
    assert 3 <= statuses.count(401) <= 3 * WORKERS
    assert statuses.count(401) + statuses.count(429) == len(statuses)
    refused = next(reply for reply in replies if reply.status == 429)
    wait = int(refused.header("retry-after"))
    assert 50 <= wait <= 60
    assert refused.json()["error"]["details"] == {"limit": "bad-credentials", "retry_after": wait}
    assert not refused.values("x-ratelimit-limit")
    assert (good.status, nobody.status) == (200, 200)


def test_refusals_show_where_operators_look(stack: Stack, client: Client) -> None:
    """The reason stands in the decisions' metric."""
    client.upload(stack.fresh_key("free"), b"")

    series = 'authz_decisions_total{decision="deny",reason="tier_not_allowed",route="upscale"'
    eventually(lambda: series in stack.operations.get("/metrics").body.decode())
