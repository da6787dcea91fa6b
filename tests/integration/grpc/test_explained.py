"""What `explain` says is what the running worker answers, and saying it counts nothing."""

import json
from random import Random
from typing import Any, TypeAlias

import pytest

from authz_service.core.respond import Pass, Refuse
from authz_service.core.rules import Policy
from authz_service.explain.explanation import Explainer, Explanation
from authz_service.explain.request import client_request
from authz_service.identity.credentials import Credentials
from authz_service.identity.key_index import KeyIndex
from authz_service.testing.builders import PlantedSecrets, read_policy
from authz_service.wire.captured_check import read_captured_check

Foreign: TypeAlias = Any  # messages read by code that others generated

POLICY = """
version: 1
tiers:
  anonymous: {rate: 2/minute, max_upload: 1MB}
  free: {rate: 2/minute, quota: 3/day, max_upload: 5MB}
bad_credentials: 1000/minute
upstream: {address: "127.0.0.1:8080"}
routes:
  - {name: things, match: {method: GET, path: /v1/things},
     limits: [{name: many, rate: 9000/minute}]}
  - {name: limits, match: {method: GET, path: /v1/limits}, authentication: optional,
     forward_limits: true}
  - {name: denying, match: {method: GET, path: /v1/denying}, on_store_failure: deny}
  - {name: free, match: {method: GET, path: /v1/free}, cost: 0}
  - {name: scoped, match: {method: GET, path: /v1/scoped}, cost: 2, scopes: [write]}
  - {name: tiered, match: {method: GET, path: /v1/tiered}, cost: 0, tiers: [anonymous]}
  - {name: tokens, match: {method: GET, path: /v1/tokens}, cost: 0, credentials: [jwt]}
  - {name: trial, match: {method: GET, path: /v1/trial}, shadow: true}
  - {name: open, match: {method: GET, path: /open}, authentication: none}
"""
GOOD = PlantedSecrets().api_key
METHODS = ["GET", "GET", "GET", "POST"]
PATHS = [
    *(
        "/v1/things",
        "/v1/things?page=2",
        "/v1/limits",
        "/v1/limits",
        "/v1/denying",
        "/v1/free",
        "/open",
    ),
    *("/v1/scoped", "/v1/tiered", "/v1/tokens", "/v1/trial", "/v1/trial"),
    *("/v1/nowhere", "/v1/limits?api_key=x", "/v1//things"),
]
CREDENTIALS = [
    *[[("x-api-key", GOOD)]] * 6,
    *[[]] * 3,
    [("x-api-key", "sk-unknown")],
    [("x-api-key", "sk-disabled")],
    [("x-api-key", "sk-expired")],
    [("x-api-key", "sk-other-tier")],
    [("x-api-key", "short")],
    [("x-api-key", GOOD), ("x-api-key", "sk-unknown")],
    [("authorization", "Bearer a.b.c")],
    [("authorization", "Basic eDp5")],
]
ADDRESSES = ["203.0.113.7", "2001:db8::1", ""]
PAUSES_MS = [*[0] * 12, 1_000, 61_000, 61_000, 86_400_000]


@pytest.fixture
def policy() -> Policy:
    """The policy of worker and explainer: a route for every way to be refused."""
    return read_policy(POLICY)


@pytest.fixture
def explainer(stack: Foreign, policy: Policy, keys: KeyIndex) -> Explainer:
    """Explains with the configuration and the counters of the worker."""
    return Explainer(
        policy=policy, credentials=Credentials(keys=keys), store=stack.store, clock=stack.clock
    )


def check_request(
    stack: Foreign, method: str, path: str, headers: list[tuple[str, str]], address: str
) -> Foreign:
    """A check as Envoy sends it."""
    everything = [("x-request-id", "r-1"), ("x-envoy-external-address", address), *headers]
    values = [
        stack.core.HeaderValue(key=name, raw_value=value.encode()) for name, value in everything
    ]
    return stack.auth.CheckRequest(
        attributes=stack.auth.AttributeContext(
            request=stack.auth.AttributeContextRequest(
                http=stack.auth.AttributeContextHttpRequest(
                    method=method, path=path, header_map=stack.core.HeaderMap(headers=values)
                )
            )
        )
    )


def counted(stack: Foreign) -> dict[bytes, object]:
    """Everything the worker's store has counted."""
    store = stack.store._inner
    logs = {key: list(log) for key, log in store._logs.items()}
    return {**logs, **store._buckets, **store._tallies}


def told(explanation: Explanation) -> dict[str, object]:
    """An explanation's answer in the terms of `given_by`."""
    answer = explanation.answer
    headers = answer.response_headers if isinstance(answer, Pass) else answer.headers
    return {
        "status": answer.status if isinstance(answer, Refuse) else 200,
        "body": json.loads(answer.body) if isinstance(answer, Refuse) else {},
        "headers": dict(headers),
        "application": dict(answer.upstream_headers) if isinstance(answer, Pass) else {},
        "metadata": {**answer.metadata, "decision_id": "decision-1"},
    }


def given_by(answer: Foreign) -> dict[str, object]:
    """What the worker answered."""
    denied, ok = answer.denied_response, answer.ok_response
    headers = denied.headers if denied else ok.response_headers_to_add
    return {
        "status": int(denied.status.code) if denied else 200,
        "body": json.loads(denied.body) if denied else {},
        "headers": {option.header.key: option.header.value for option in headers},
        "application": {it.header.key: it.header.value for it in ok.headers} if ok else {},
        "metadata": {
            name: value.string_value for name, value in answer.dynamic_metadata.fields.items()
        },
    }


async def test_explain_says_what_the_worker_answers(stack: Foreign, explainer: Explainer) -> None:
    """Two hundred requests: equal to the last header, and not one of them counted by explaining."""
    choose = Random(2030).choice  # noqa: S311 - the same requests in every run
    reasons: set[str] = set()
    for _ in range(200):
        stack.clock.advance(choose(PAUSES_MS))
        request = check_request(
            stack, choose(METHODS), choose(PATHS), choose(CREDENTIALS), choose(ADDRESSES)
        )
        before = counted(stack)
        explained = await explainer.explain_check(read_captured_check(request.to_json()))
        assert counted(stack) == before
        assert told(explained) == given_by(stack.read(await stack.worker.check(bytes(request))))
        reasons.add(str(explained.reason))
    assert reasons == {
        *("ok", "rate_limited", "quota_exceeded", "no_route", "no_client_address"),
        *("missing_credential", "unknown_key", "disabled_key", "expired_key", "unknown_tier"),
        *("malformed_credential", "ambiguous_credential", "credential_in_query"),
        *("malformed_token", "unsupported_scheme"),
        *("missing_scope", "tier_not_allowed", "credential_not_allowed"),
    }


async def test_a_clients_request_is_explained_like_its_check(
    stack: Foreign, explainer: Explainer
) -> None:
    """Told as a client sends it or as Envoy asks about it, a request has one answer."""
    sent = client_request(
        method="GET",
        target="/v1/things",
        headers=(("X-API-Key", GOOD), ("X-Request-ID", "r-1")),
        client_address="203.0.113.7",
    )
    request = check_request(stack, "GET", "/v1/things", [("x-api-key", GOOD)], "203.0.113.7")
    for _ in range(3):
        explained = await explainer.explain(sent)
        live = given_by(stack.read(await stack.worker.check(bytes(request))))
        assert told(explained) == live
    assert [reading.remaining for reading in explained.left] == [0, 1, 8_998]
