"""A limit over all callers, through the real Envoy: it refuses those who have room of their own."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, default_policy_with_extra_tiers, running

LIMITS = "/api/v1/images/limits"
JOB = "/api/v1/jobs/no-such-job"
RESULT = "/api/v1/jobs/no-such-job/result"
TOTALS = {"limits": "5/minute", "job": "2/minute", "job-result": "2/minute"}


@pytest.fixture(scope="module", params=["native", pytest.param("grpcio", marks=pytest.mark.slow)])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The stack, with a limit over all callers on a route for each test."""
    policy = default_policy_with_extra_tiers()
    for route in policy["routes"]:
        if rate := TOTALS.get(route["name"]):
            route["global_limits"] = [{"name": f"{route['name']}-total", "rate": rate}]
    with running(policy, AUTHZ_GRPC_SERVER=request.param) as started:
        yield started


def test_a_limit_over_all_callers_refuses_whoever_comes_next(stack: Stack) -> None:
    """Six callers with sixty a minute each: the sixth is refused, in the form of every error."""
    keys = [stack.fresh_key("pro") for _ in range(6)]

    replies = [stack.client.get(LIMITS, [("X-API-Key", key)]) for key in keys]

    assert [reply.status for reply in replies] == [200] * 5 + [429]
    refused = replies[-1]
    assert refused.code == "RATE_LIMIT_EXCEEDED"
    wait = int(refused.header("retry-after"))
    assert 50 <= wait <= 60
    assert refused.json()["error"]["details"] == {"limit": "limits-total", "retry_after": wait}
    assert refused.json()["error"]["request_id"] == refused.header("x-request-id")
    assert refused.header("content-type") == "application/json"
    assert refused.header("x-ratelimit-limit") == "60"
    assert refused.header("x-ratelimit-remaining") == "59"


def test_who_is_refused_by_it_has_been_charged_before(stack: Stack) -> None:
    """The caller's own limits are looked at first, and what they took is not given back."""
    key = stack.fresh_key("pro")
    replies = [stack.client.get(JOB, [("X-API-Key", key)]) for _ in range(4)]
    assert [reply.status for reply in replies] == [404, 404, 429, 429]
    left = [int(reply.header("x-ratelimit-remaining")) for reply in replies]
    assert left == [119, 118, 117, 116]


def test_who_is_refused_before_it_takes_nothing_of_it(stack: Stack) -> None:
    """Bad credentials cannot use up what all callers share."""
    bad, good = "no-such-key-0123456789", stack.fresh_key("pro")
    replies = [stack.client.get(RESULT, [("X-API-Key", key)]) for key in [bad] * 5 + [good] * 3]
    assert [reply.status for reply in replies] == [401] * 5 + [404, 404, 429]
