"""How much is left, through the real Envoy and on the real clock of the store."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from authz_service.clock import SystemClock
from tests.e2e.client import Client, Reply
from tests.e2e.stack import Stack

LIMITS = "/api/v1/images/limits"


def limits(client: Client, key: str) -> Reply:
    """One request that costs one."""
    return client.get(LIMITS, [("X-API-Key", key)])


def test_ten_pass_and_the_eleventh_does_not(stack: Stack, client: Client) -> None:
    """A free key: exactly ten, then 429 with everything a client needs to come back."""
    key = stack.fresh_key("free")

    replies = [limits(client, key) for _ in range(11)]

    assert [reply.status for reply in replies] == [200] * 10 + [429]
    refused = replies[-1]
    assert refused.code == "RATE_LIMIT_EXCEEDED"
    wait = int(refused.header("retry-after"))
    assert 50 <= wait <= 60
    assert refused.json()["error"]["details"] == {"limit": "per-minute", "retry_after": wait}
    assert refused.header("x-ratelimit-limit") == "10"
    assert refused.header("x-ratelimit-remaining") == "0"
    assert refused.header("x-ratelimit-reset") == str(wait)
    assert refused.header("content-type") == "application/json"


def test_a_client_that_waits_as_told_passes(stack: Stack, client: Client) -> None:
    """After `Retry-After` seconds the next request is admitted."""
    key = stack.fresh_key("brief")
    assert [limits(client, key).status for _ in range(3)] == [200, 200, 429]
    refused = limits(client, key)

    time.sleep(int(refused.header("retry-after")))

    assert limits(client, key).status == 200


@pytest.mark.slow
@pytest.mark.timeout(150)  # it waits for the better part of a minute on purpose, and so only once
@pytest.mark.parametrize("stack", ["native"], indirect=True)
def test_a_minute_is_a_minute(stack: Stack, client: Client) -> None:
    """The same for the real ten a minute: refused, waited, passed."""
    key = stack.fresh_key("free")
    assert [limits(client, key).status for _ in range(11)] == [200] * 10 + [429]
    refused = limits(client, key)

    time.sleep(int(refused.header("retry-after")))

    assert limits(client, key).status == 200


def test_many_at_once_admit_exactly_the_limit(stack: Stack, client: Client) -> None:
    """Forty requests at the same moment: ten pass."""
    key = stack.fresh_key("free")

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(lambda _: limits(client, key).status, range(40)))

    assert statuses == [200] * 10 + [429] * 30


def test_the_headers_count_down(stack: Stack, client: Client) -> None:
    """The tightest limit speaks in `X-RateLimit-*`, all of them in `RateLimit`."""
    key = stack.fresh_key("free")

    first, second = limits(client, key), limits(client, key)

    assert [reply.header("x-ratelimit-remaining") for reply in (first, second)] == ["9", "8"]
    assert second.header("ratelimit-policy") == '"per-minute";q=10;w=60, "per-day";q=500;w=86400'
    minute, day = second.header("ratelimit").split(", ")
    assert minute.startswith('"per-minute";r=8;t=')
    assert day.startswith('"per-day";r=498;t=')


def test_a_day_ends_at_midnight_utc(stack: Stack, client: Client) -> None:
    """A used-up quota is 429 QUOTA_EXCEEDED until the calendar day ends."""
    key = stack.fresh_key("scarce")
    replies = [limits(client, key) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]
    refused = replies[-1]
    assert refused.code == "QUOTA_EXCEEDED"
    assert refused.json()["error"]["details"]["limit"] == "per-day"
    to_midnight = 86_400 - SystemClock().now_ms() // 1000 % 86_400
    assert abs(int(refused.header("retry-after")) - to_midnight) <= 2


def test_a_refused_request_costs_nothing(stack: Stack, client: Client) -> None:
    """Refusals by the window leave the day untouched."""
    key = stack.fresh_key("brief")
    for _ in range(6):
        refused = limits(client, key)

    assert refused.status == 429
    assert '"per-day";r=998' in refused.header("ratelimit")


def test_what_the_application_refuses_was_counted(stack: Stack, client: Client) -> None:
    """The sidecar decides before the application does: a 4xx from behind has its headers."""
    reply = client.upload(stack.fresh_key("free"), b"no image at all")

    assert (reply.status, reply.code) == (400, "INVALID_IMAGE")
    assert reply.header("x-ratelimit-remaining") == "9"
