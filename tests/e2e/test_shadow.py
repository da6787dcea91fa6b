"""A policy in shadow: everything passes, and what would not have is told."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Client
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running

LIMITS = "/api/v1/images/limits"


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack whose every route is in shadow."""
    policy = default_policy_with_extra_tiers()
    policy["defaults"]["shadow"] = True
    with running(policy, AUTHZ_GRPC_SERVER=request.param) as started:
        yield started


@pytest.fixture
def client(stack: Stack) -> Client:
    """A client of the public port."""
    return stack.client


def would_be(stack: Stack, reason: str) -> str:
    """The lines of the shadow metric with a reason, once there is one."""

    def lines() -> str:
        text = stack.operations.get("/metrics").body.decode().splitlines()
        name = "authz_shadow_decisions_total{"
        return "\n".join(it for it in text if it.startswith(name) and f'reason="{reason}"' in it)

    return eventually(lines)


def test_a_bad_key_counts_as_nobody(stack: Stack, client: Client) -> None:
    """The application is asked for an anonymous caller, and the verdict is a metric."""
    reply = client.get(LIMITS, [("X-API-Key", "no-such-key")], source=stack.fresh_address())

    assert (reply.status, reply.json()["tier"]) == (200, "anonymous")
    assert 'decision="deny"' in would_be(stack, "unknown_key")


def test_nothing_is_ever_over_a_limit(stack: Stack, client: Client) -> None:
    """Twelve requests of a caller who has ten: all pass, none is told of limits."""
    key = stack.fresh_key("free")

    replies = [client.get(LIMITS, [("X-API-Key", key)]) for _ in range(12)]

    assert {reply.status for reply in replies} == {200}
    assert not any(reply.values("x-ratelimit-limit") for reply in replies)
    assert replies[-1].json()["tier"] == "free"
    assert 'decision="over_limit"' in would_be(stack, "rate_limited")


def test_a_missing_key_reaches_the_application(stack: Stack, client: Client) -> None:
    """Which answers by itself: here, that this is no upload."""
    reply = client.send("POST", "/api/v1/images/upscale", source=stack.fresh_address())

    assert reply.code == "UNSUPPORTED_MEDIA_TYPE"
    assert would_be(stack, "missing_credential")
