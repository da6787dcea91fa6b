"""Every answer that Envoy makes itself, in the one JSON form."""

import socket

import pytest

from tests.integration.envoyconf.client import Answer, Client, read
from tests.integration.envoyconf.stub_authz import DENIAL, StubAuthz

_JOB = "/api/v1/jobs/7"
_HOST = b"host: localhost\r\n"


def assert_is_error(answer: Answer, status: int, code: str) -> None:
    """Status, content type, code and request id are as promised, and nothing else is inside."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["message"]
    assert set(error) <= {"code", "message", "request_id", "details"}


@pytest.mark.parametrize(
    "path",
    [
        "/api%2Fv1/jobs/7",
        "/api/v1/jobs/%2f",
        "/api/v1/jobs/%5C",
        "/api/v1/jobs/a%00b",
        "/api/v1/jobs/7#fragment",
    ],
)
def test_an_ambiguous_path_is_refused(
    public: Client, authz: StubAuthz, request_id: str, path: str
) -> None:
    """Escaped slashes and zero bytes mean one thing here and another there: 400, unasked."""
    answer = public.send("GET", path, ("x-api-key", "free"), ("x-request-id", request_id))
    assert_is_error(answer, 400, "BAD_REQUEST")
    assert authz.asked_for(request_id) == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"not http at all\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"x_api_key: free\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"transfer-encoding: chunked\r\n"
        b"content-length: 3\r\n\r\n",
        b"FROB /healthz HTTP/1.1\r\n" + _HOST + b"\r\n",
    ],
)
def test_malformed_is_400(public: Client, request_bytes: bytes) -> None:
    """Garbage, names with underscores, two lengths at once, methods that nobody knows."""
    assert_is_error(public.raw(request_bytes), 400, "BAD_REQUEST")


def test_an_upgrade_is_403(public: Client) -> None:
    """No protocol but HTTP passes."""
    answer = public.raw(
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    assert_is_error(answer, 403, "FORBIDDEN")


@pytest.mark.parametrize(
    "path",
    ["/", "/nowhere", "/api/v1/jobs", "/api/v1/jobs/", "/api/v1/jobs/7/8", "/API/v1/jobs/7"],
)
def test_an_unknown_path_is_404(
    public: Client, authz: StubAuthz, request_id: str, path: str
) -> None:
    """And the authorizer is not asked."""
    answer = public.send("GET", path, ("x-api-key", "free"), ("x-request-id", request_id))
    assert_is_error(answer, 404, "NOT_FOUND")
    assert "x-ratelimit-limit" not in answer.headers
    assert authz.asked_for(request_id) == []


def test_connect_is_not_served(public: Client, authz: StubAuthz) -> None:
    """A tunnel has no route and asks nobody."""
    before = len(authz.checks)
    answer = public.raw(b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n")
    assert_is_error(answer, 404, "NOT_FOUND")
    assert len(authz.checks) == before


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", _JOB, "GET, DELETE"),
        ("OPTIONS", _JOB, "GET, DELETE"),
        ("TRACE", _JOB, "GET, DELETE"),
        ("DELETE", "/api/v1/jobs/7/result?x=1", "GET, HEAD"),
        ("GET", "/api/v1/images/upscale", "POST"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_a_wrong_method_is_405(  # noqa: PLR0917 -- fixtures and the row of the table
    public: Client, authz: StubAuthz, request_id: str, method: str, path: str, allow: str
) -> None:
    """`Allow` names what the path knows, and the authorizer is not asked."""
    answer = public.send(method, path, ("x-api-key", "free"), ("x-request-id", request_id))
    assert_is_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allow
    assert authz.asked_for(request_id) == []


def test_unfinished_headers_are_408(public: Client) -> None:
    """A client that dribbles its headers is not waited for."""
    answer = public.raw(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow:")
    assert_is_error(answer, 408, "REQUEST_TIMEOUT")


def test_http_1_0_is_426(public: Client) -> None:
    """It cannot say how long a body is while sending it."""
    assert_is_error(public.raw(b"GET /healthz HTTP/1.0\r\n\r\n"), 426, "UPGRADE_REQUIRED")


@pytest.mark.parametrize(
    "headers",
    [
        [("x-big", "x" * 40_000)],
        [(f"x-{number}", "y") for number in range(110)],
    ],
)
def test_large_headers_are_431(public: Client, headers: list[tuple[str, str]]) -> None:
    """Too long together, or too many."""
    assert_is_error(public.send("GET", "/healthz", *headers), 431, "HEADERS_TOO_LARGE")


def test_an_unknown_transfer_encoding_is_501(public: Client) -> None:
    """Only chunked is spoken."""
    answer = public.raw(b"POST /x HTTP/1.1\r\n" + _HOST + b"transfer-encoding: gzip\r\n\r\n")
    assert_is_error(answer, 501, "NOT_IMPLEMENTED")


def test_a_garbled_answer_is_502(public: Client) -> None:
    """What the application sent is not HTTP."""
    answer = public.send("GET", _JOB, ("x-api-key", "free"), ("x-do", "garble"))
    assert_is_error(answer, 502, "BAD_GATEWAY")
    assert answer.headers["x-ratelimit-limit"] == "10"


def test_a_dropped_connection_is_503(public: Client) -> None:
    """The application hung up: try again in a second; the request was counted all the same."""
    answer = public.send("GET", _JOB, ("x-api-key", "free"), ("x-do", "drop"))
    assert_is_error(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-ratelimit-limit"] == "10"


def test_a_slow_answer_is_504(public: Client) -> None:
    """The route's timeout is over."""
    answer = public.send("GET", _JOB, ("x-api-key", "free"), ("x-do", "hang"))
    assert_is_error(answer, 504, "GATEWAY_TIMEOUT")
    assert "retry-after" not in answer.headers


def test_a_denial_passes_byte_for_byte(public: Client) -> None:
    """The authorizer's answer is not ours to rewrite."""
    answer = public.send("GET", _JOB, ("x-api-key", "nobody"))
    assert answer.status == 401
    assert answer.body == DENIAL.encode()
    assert answer.headers["www-authenticate"] == "ApiKey"
    assert answer.headers["content-type"] == "application/json"


def test_a_connection_survives_an_error(public: Client) -> None:
    """A refused request does not cost the next one its connection."""
    with public.connect() as connection:
        assert _ask(connection, b"/nowhere").status == 404
        assert _ask(connection, b"/healthz").status == 200


def _ask(connection: socket.socket, path: bytes) -> Answer:
    connection.sendall(b"GET " + path + b" HTTP/1.1\r\n" + _HOST + b"\r\n")
    return read(connection)
