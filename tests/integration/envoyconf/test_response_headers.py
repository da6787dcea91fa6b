"""The id and the time that every response carries, whoever made it."""

import re

import pytest

from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.stub_authz import StubAuthz

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE = "105445aa7843bc8bf206b12000100000"
_MILLISECONDS = re.compile(r"\d+\.\d\dms")

_OF_TRACE = ("x-cloud-trace-context", f"{_TRACE}/1;o=1")


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ([("x-request-id", "my-id-1")], "my-id-1"),
        ([("x-request-id", "x" * 128)], "x" * 128),
        (
            [("x-request-id", "7d0a4a2e-3f0e-4f7b-9a55-1c2b3d4e5f60")],
            "7d0a4a2e-3f0e-4f7b-9a55-1c2b3d4e5f60",
        ),
        ([_OF_TRACE], _TRACE),
        ([("x-request-id", "mine"), _OF_TRACE], "mine"),
        ([("x-request-id", 'a"b c'), _OF_TRACE], _TRACE),
        ([("x-request-id", "x" * 129), _OF_TRACE], _TRACE),
    ],
)
def test_a_sane_id_is_kept(public: Client, sent: list[tuple[str, str]], answered: str) -> None:
    """The client's id comes back if it is sane, else the trace id of its header."""
    assert public.send("GET", "/healthz", *sent).headers["x-request-id"] == answered


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [("x-request-id", "")],
        [("x-request-id", "x" * 129)],
        [("x-request-id", "schlüssel")],
        [("x-request-id", "one"), ("x-request-id", "two")],
        [("x-cloud-trace-context", "not-a-trace/1")],
        [("x-cloud-trace-context", _TRACE[:-1])],
        [("x-rid-chosen", "smuggled")],
        [("x-rid-trace", _TRACE)],
    ],
)
def test_anything_else_gets_a_uuid(public: Client, sent: list[tuple[str, str]]) -> None:
    """No id, an unfit one, two of them, or our own scratch headers: a new UUID."""
    assert _UUID.fullmatch(public.send("GET", "/healthz", *sent).headers["x-request-id"])


def test_one_id_everywhere(public: Client, authz: StubAuthz, request_id: str) -> None:
    """Client, authorizer and application see the same id."""
    answer = public.send(
        "GET", "/api/v1/jobs/7", ("x-api-key", "free"), ("x-request-id", request_id)
    )
    assert answer.headers["x-request-id"] == request_id
    assert ["x-request-id", request_id] in answer.json()["headers"]
    assert len(authz.asked_for(request_id)) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PUT /healthz HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /api/v1/jobs/7 HTTP/1.1\r\nhost: a\r\nx-api-key: nobody\r\n\r\n",
        b"GET /api/v1/jobs/7 HTTP/1.1\r\nhost: a\r\nx-api-key: raise\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"not http at all\r\n\r\n",
    ],
)
def test_every_response_tells_its_id_and_time(public: Client, request_bytes: bytes) -> None:
    """From the application, the authorizer, or Envoy: protocol errors included."""
    headers = public.raw(request_bytes).headers
    assert headers["x-request-id"]
    assert _MILLISECONDS.fullmatch(headers["x-response-time"])


def test_the_time_is_the_time(public: Client) -> None:
    """A request that ends at the route's timeout took about that long."""
    answer = public.send("GET", "/api/v1/jobs/7", ("x-api-key", "free"), ("x-do", "hang"))
    milliseconds = float(answer.headers["x-response-time"].removesuffix("ms"))
    assert 950 < milliseconds < 5_000


def test_the_server_header_is_ours(public: Client) -> None:
    """What the application runs on is nobody's business."""
    assert public.send("GET", "/healthz").headers["server"] == "authz-sidecar"
