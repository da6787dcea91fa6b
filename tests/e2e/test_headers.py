"""Request ids, response times, CORS and the access line."""

import json
import re
import time

import pytest

from tests.e2e.client import Client
from tests.e2e.stack import Stack

LIMITS = "/api/v1/images/limits"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACE = "105445aa7843bc8bf206b12000100000"


@pytest.mark.parametrize("sent", ["my-id-1", "a.b:c_d-E", "x" * 128])
def test_a_sane_request_id_is_kept(client: Client, sent: str) -> None:
    """What the client calls its request, we call it too."""
    assert client.get("/healthz", [("X-Request-ID", sent)]).header("x-request-id") == sent


@pytest.mark.parametrize("sent", ['a"b', "a b", "x" * 129, "<script>", "é", "", "a,b"])
def test_a_junk_request_id_is_replaced(client: Client, sent: str) -> None:
    """Anything that could break a log line or a body is not echoed."""
    given = client.get("/healthz", [("X-Request-ID", sent)]).header("x-request-id")

    assert UUID.fullmatch(given)


def test_two_request_ids_are_replaced(client: Client) -> None:
    """Of two ids neither is trusted."""
    reply = client.get("/healthz", [("X-Request-ID", "one"), ("X-Request-ID", "two")])

    assert UUID.fullmatch(reply.header("x-request-id"))


def test_the_trace_names_a_request_that_has_no_id(client: Client) -> None:
    """Google's load balancer sends a trace; its id is the request's."""
    reply = client.get("/healthz", [("X-Cloud-Trace-Context", f"{TRACE}/1;o=1")])

    assert reply.header("x-request-id") == TRACE


@pytest.mark.parametrize(
    ("method", "target", "key"),
    [
        ("GET", LIMITS, "dev-key-enterprise"),
        ("GET", LIMITS, "unknown-key"),
        ("GET", "/nowhere", ""),
        ("PUT", LIMITS, ""),
        ("GET", "/%2e%2e%2fetc", ""),
    ],
)
def test_every_response_says_how_long_it_took_and_whose_it_is(
    client: Client, method: str, target: str, key: str
) -> None:
    """`X-Response-Time: 245.50ms` and `X-Request-ID`, whoever answered."""
    reply = client.send(method, target, [("X-API-Key", key)] if key else [])

    assert re.fullmatch(r"\d+\.\d\dms", reply.header("x-response-time"))
    assert reply.header("x-request-id")


def test_a_preflight_is_answered_without_a_credential(client: Client) -> None:
    """Browsers send no key with a preflight; Envoy answers it alone."""
    reply = client.send(
        "OPTIONS",
        "/api/v1/images/upscale",
        [
            ("Origin", "https://app.example.com"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key,prefer,idempotency-key"),
        ],
    )

    assert reply.status == 200
    assert reply.header("access-control-allow-origin") == "https://app.example.com"
    allowed = reply.header("access-control-allow-headers").lower()
    assert {"x-api-key", "prefer", "idempotency-key"} <= set(allowed.replace(" ", "").split(","))
    assert not reply.values("x-ratelimit-limit")


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "null",
    ],
)
def test_a_lookalike_origin_is_not_let_in(client: Client, origin: str) -> None:
    """Origins are compared whole."""
    reply = client.get("/healthz", [("Origin", origin)])

    assert not reply.values("access-control-allow-origin")


def test_one_access_line_explains_a_request(stack: Stack, client: Client) -> None:
    """Method, path without query, status, caller and reason, on one readable line."""
    client.get(
        f"{LIMITS}?q=canary-query", [("X-API-Key", "canary-key-1"), ("X-Request-ID", "line-1")]
    )
    client.get(LIMITS, [("X-API-Key", stack.fresh_key()), ("X-Request-ID", "line-2")])

    refused, passed = line_of(stack, "line-1"), line_of(stack, "line-2")

    assert re.search(r" 401 GET +/api/v1/images/limits \d+\.\d ms - unknown_key line-1$", refused)
    assert re.search(r" 200 GET +/api/v1/images/limits \d+\.\d ms key:pro-\d+ ok line-2$", passed)
    assert "canary" not in "\n".join(stack.output)


def test_nothing_that_was_sent_as_a_secret_is_ever_printed(stack: Stack, client: Client) -> None:
    """Planted in every place a credential can stand, a canary shows in no line and no body."""
    planted = "canary-7f3e9c1d"
    replies = [
        client.get(LIMITS, [("X-API-Key", f"{planted}-key")]),
        client.get(LIMITS, [("Authorization", f"Bearer {planted}.token.here")]),
        client.get(LIMITS, [("Authorization", f"Basic {planted}")]),
        client.get(f"{LIMITS}?api_key={planted}"),
        client.get(LIMITS, [("Cookie", f"session={planted}")]),
        client.upload(stack.fresh_key("brief"), bytes(200_000), headers=[("Cookie", planted)]),
        client.send(
            "POST",
            f"/api/v1/images/upscale?token={planted}",
            [("X-API-Key", stack.fresh_key("brief"))],
            bytes(200_000),
        ),
    ]
    time.sleep(0.5)  # Envoy flushes its log every 100 ms

    assert all(planted.encode() not in reply.body for reply in replies)
    assert planted not in "\n".join(stack.output)
    for file in stack.run_dir.iterdir():
        if file.is_file() and file.name != "policy.yaml":
            assert planted not in file.read_text(encoding="utf-8", errors="replace")


def test_the_scrape_port_answers_exactly_two_questions(stack: Stack) -> None:
    """`/metrics` and `/ready`; Envoy's admin interface stays out of reach."""
    scrape = stack.scrape

    assert scrape.get("/ready").status == 200
    assert b"envoy_" in scrape.get("/metrics").body
    for target in ("/", "/config_dump", "/quitquitquit", "/metrics?filter=x", "/stats", "/ready/"):
        assert scrape.get(target).status == 404
    assert scrape.send("POST", "/quitquitquit").status == 404


def line_of(stack: Stack, request_id: str) -> str:
    """The access line of a request, which may come a moment later."""
    for _ in range(100):
        for line in stack.output:
            if line.endswith(request_id):
                return line
        time.sleep(0.02)
    raise AssertionError(f"no access line of {request_id} in {json.dumps(stack.output[-5:])}")
