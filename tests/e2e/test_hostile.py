"""What an attacker would try first, through the real Envoy."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.client import HOST, MULTIPART, Client, multipart
from tests.e2e.stack import Stack

LIMITS = "/api/v1/images/limits"
UPSCALE = "/api/v1/images/upscale"
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    "target",
    [
        "//api/v1/images/limits",
        "/api//v1/images/limits",
        "/./api/v1/images/limits",
        "/x/../api/v1/images/limits",
        "/healthz/../api/v1/images/limits",
        "/healthz/..;/api/v1/images/limits",
        "/%2e/api/v1/images/limits",
        "/api/v1/images/%6cimits",
    ],
)
def test_another_spelling_of_a_path_meets_the_same_guard(client: Client, target: str) -> None:
    """A path is made canonical before anything is decided, so a bad key stays a bad key."""
    reply = client.get(target, [("X-API-Key", "unknown-key")])

    assert reply.status in {401, 404}


@pytest.mark.parametrize(
    "target",
    [
        "/healthz/..%2fapi/v1/images/limits",
        "/healthz%2f..%2fapi/v1/images/limits",
        "/api/v1%2fimages/limits",
        "/api%5cv1/images/limits",
        "/healthz%00/api/v1/images/limits",
    ],
)
def test_an_escaped_separator_is_refused(client: Client, target: str) -> None:
    """Two readers could disagree on such a path, so there is none: 400 in the error form."""
    reply = client.get(target, [("X-API-Key", "unknown-key")])

    assert (reply.status, reply.code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "target",
    [
        "/healthz;/api/v1/images/limits",
        "/api/v1/images/limits;x",
        "/api/v1/images/limits/",
        "/API/V1/IMAGES/LIMITS",
        "/healthz/api/v1/images/limits",
    ],
)
def test_a_path_that_is_nearly_right_leads_nowhere(client: Client, target: str) -> None:
    """Routes are whole paths: parameters, slashes and letters count."""
    reply = client.get(target, [("X-API-Key", "unknown-key")])

    assert (reply.status, reply.code) == (404, "NOT_FOUND")


def test_a_flood_of_headers_is_431(client: Client) -> None:
    """Too many or too large, in the error form, before anybody is asked."""
    many = [(f"X-Header-{number}", "x") for number in range(200)]
    large = [("X-Large", "x" * 40_000)]

    for headers in (many, large):
        reply = client.get(LIMITS, headers)
        assert (reply.status, reply.code) == (431, "HEADERS_TOO_LARGE")
        assert not reply.values("x-ratelimit-limit")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
        b"FROB /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT internal:80 HTTP/1.1\r\nHost: internal:80\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(client: Client, sent: bytes) -> None:
    """A 4xx and a JSON body; nothing of it reaches the application."""
    answer = client.raw(sent)

    assert answer.split(b" ")[1][:1] == b"4", answer
    assert b'"error"' in answer


def test_an_upload_over_the_limit_is_refused_before_a_byte_of_it_is_sent(
    stack: Stack, client: Client
) -> None:
    """A client that expects 100-continue hears 413 and keeps its 6 MB."""
    head = (
        f"POST {UPSCALE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {stack.fresh_key('free')}\r\n"
        f"Content-Type: {MULTIPART}\r\nContent-Length: {6 * MEGABYTE}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )

    answer = client.raw(head.encode())

    assert answer.startswith(b"HTTP/1.1 413 "), answer
    assert b"100 Continue" not in answer


def test_a_body_over_the_limit_names_the_limit(stack: Stack, client: Client) -> None:
    """The 413 says the tier and the largest file, and was charged, as its headers show."""
    reply = client.upload(stack.fresh_key("brief"), bytes(256 * 1024))

    assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.json()["error"]["message"] == "File too large"
    assert reply.json()["error"]["details"] == {"tier": "brief", "max_file_bytes": 65_536}
    assert reply.header("x-ratelimit-remaining") == "1"


def test_envoy_and_the_application_tell_the_same_of_a_large_file(
    stack: Stack, client: Client
) -> None:
    """A file just over the limit passes Envoy's looser bound and meets the exact one."""
    reply = client.upload(stack.fresh_key("brief"), bytes(65_537))

    assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.json()["error"]["message"] == "File too large"
    assert reply.json()["error"]["details"] == {"tier": "brief", "max_file_bytes": 65_536}


def test_a_chunked_body_over_the_limit_is_cut_off(stack: Stack, client: Client) -> None:
    """Without a length the bytes are counted as they come."""

    def endless() -> Iterator[bytes]:
        yield multipart(b"", {}).partition(b"\r\n--")[0]
        for _ in range(64):
            yield bytes(16 * 1024)

    headers = [("X-API-Key", stack.fresh_key("brief")), ("Content-Type", MULTIPART)]
    try:
        status = client.send("POST", UPSCALE, headers, endless()).status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # Envoy closed while we were still sending, which it may

    assert status == 413


def test_a_chunked_body_within_the_limit_passes(stack: Stack, client: Client, photo: bytes) -> None:
    """Streaming is no offence."""
    headers = [
        ("X-API-Key", stack.fresh_key()),
        ("Content-Type", MULTIPART),
        ("Prefer", "wait=30"),
    ]

    reply = client.send("POST", UPSCALE, headers, iter([multipart(photo, {})]))

    assert reply.status == 200, reply.body


def test_an_aborted_upload_leaves_the_service_well(stack: Stack, client: Client) -> None:
    """A client that hangs up in the middle harms nobody."""
    for _ in range(5):
        with socket.create_connection((HOST, client.port), timeout=5) as connection:
            head = (
                f"POST {UPSCALE} HTTP/1.1\r\nHost: x\r\nX-API-Key: dev-key-enterprise\r\n"
                f"Content-Type: {MULTIPART}\r\nContent-Length: 100000\r\n\r\n"
            )
            connection.sendall(head.encode() + bytes(5_000))
    time.sleep(0.2)

    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get(LIMITS, [("X-API-Key", stack.fresh_key())]).status == 200


def test_a_credential_never_reaches_the_application(stack: Stack, client: Client) -> None:
    """Open routes included: what the application echoes or logs cannot hold a key."""
    key = stack.fresh_key()
    for target in ("/healthz", "/openapi.json", LIMITS):
        assert key.encode() not in client.get(target, [("X-API-Key", key)]).body
    assert key not in "\n".join(stack.output)
