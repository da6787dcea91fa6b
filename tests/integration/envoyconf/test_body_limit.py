"""How large a body may be: by the tier that the authorizer named, and nothing else."""

import contextlib
import socket

import pytest

from tests.integration.envoyconf.client import Answer, Client, read
from tests.integration.envoyconf.stub_upstream import StubUpstream
from tests.integration.envoyconf.test_errors import assert_is_error
from tests.unit.envoyconf.builders import FILE_LIMITS, OVERHEAD

_UPLOAD = b"POST /api/v1/images/upscale HTTP/1.1\r\nhost: a\r\n"
_CHUNK = 65_536
_TIERS = pytest.mark.parametrize("tier", FILE_LIMITS)


def _head(tier: str, *lines: str) -> bytes:
    key = () if tier == "anonymous" else (f"x-api-key: {tier}",)
    return _UPLOAD + "".join(f"{line}\r\n" for line in (*key, *lines, "")).encode()


@_TIERS
def test_a_length_above_the_limit_is_refused_unsent(
    public: Client, upstream: StubUpstream, request_id: str, tier: str
) -> None:
    """The client waits with its body, is told 413 with its limit, and has sent nothing."""
    length = FILE_LIMITS[tier] + OVERHEAD + 1
    expect = (f"content-length: {length}", "expect: 100-continue", f"x-request-id: {request_id}")
    answer = _answer_instead_of_continue(public, _head(tier, *expect))
    assert_is_error(answer, 413, "PAYLOAD_TOO_LARGE")
    error = answer.json()["error"]
    assert error["message"] == "File too large"
    assert error["details"] == {"tier": tier, "max_file_bytes": FILE_LIMITS[tier]}
    assert answer.headers["x-ratelimit-limit"] == "10"
    assert request_id not in upstream.seen


@pytest.mark.parametrize("tier", ["anonymous", "free"])
def test_a_body_of_the_limit_passes(public: Client, tier: str) -> None:
    """The largest file and its overhead arrive whole, after the client was told to go on."""
    length = FILE_LIMITS[tier] + OVERHEAD
    with public.connect() as connection:
        head = _head(tier, f"content-length: {length}", "expect: 100-continue")
        connection.sendall(head)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"x" * length)
        answer = read(connection, method="POST")
    assert (answer.status, answer.json()["received"]) == (200, length)


def test_a_chunked_body_of_the_limit_passes(public: Client) -> None:
    """A length that nobody announced counts the same."""
    answer = _send_chunked(public, "free", (FILE_LIMITS["free"] + OVERHEAD) // _CHUNK)
    assert (answer.status, answer.json()["received"]) == (200, FILE_LIMITS["free"] + OVERHEAD)


def test_a_chunked_body_above_the_limit_is_refused(public: Client) -> None:
    """It is found out while it flows; the answer is the same."""
    answer = _send_chunked(public, "free", (FILE_LIMITS["free"] + OVERHEAD) // _CHUNK + 1)
    assert_is_error(answer, 413, "PAYLOAD_TOO_LARGE")
    assert answer.json()["error"]["details"]["tier"] == "free"


@pytest.mark.parametrize("spelling", ["x-authz-tier", "X-AUTHZ-TIER"])
def test_a_tier_cannot_be_claimed(public: Client, spelling: str) -> None:
    """A header says nothing about a tier."""
    length = FILE_LIMITS["free"] + OVERHEAD + 1
    lines = (f"{spelling}: enterprise", f"content-length: {length}", "expect: 100-continue")
    answer = public.raw(_head("free", *lines), method="POST")
    assert answer.json()["error"]["details"]["tier"] == "free"


def test_a_route_without_tiers_has_the_smallest_limit(public: Client) -> None:
    """There is no tier to tell of then."""
    length = FILE_LIMITS["anonymous"] + OVERHEAD + 1
    lines = f"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
    answer = public.raw(lines.encode())
    assert_is_error(answer, 413, "PAYLOAD_TOO_LARGE")
    assert "details" not in answer.json()["error"]


def test_a_denied_upload_is_refused_unsent(public: Client) -> None:
    """The credential is looked at before the body is asked for."""
    head = _head("nobody", "content-length: 1000", "expect: 100-continue")
    assert _answer_instead_of_continue(public, head).status == 401


def _answer_instead_of_continue(public: Client, head: bytes) -> Answer:
    """The response to headers alone; it must not be preceded by an invitation to go on."""
    with public.connect() as connection:
        connection.sendall(head)
        assert b"100" not in connection.recv(12, socket.MSG_PEEK)
        return read(connection, method="POST")


def _send_chunked(public: Client, tier: str, chunks: int) -> Answer:
    with public.connect() as connection:
        connection.sendall(_head(tier, "transfer-encoding: chunked"))
        # Envoy may answer and stop reading before everything is sent.
        with contextlib.suppress(ConnectionError):
            _chunks(connection, chunks)
        return read(connection, method="POST")


def _chunks(connection: socket.socket, count: int) -> None:
    chunk = f"{_CHUNK:x}\r\n".encode() + b"x" * _CHUNK + b"\r\n"
    for _ in range(count):
        connection.sendall(chunk)
    connection.sendall(b"0\r\n\r\n")
