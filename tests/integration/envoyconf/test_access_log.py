"""The one line that each request leaves behind."""

from datetime import datetime
from urllib.parse import unquote

import pytest

from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import Envoy

_JOB = "/api/v1/jobs/7"
_TRACE = "105445aa7843bc8bf206b12000100000"
_TRACE_FIELD = "logging.googleapis.com/trace"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"

Headers = list[tuple[str, str]]


def test_an_allowed_request(envoy: Envoy, request_id: str) -> None:
    """Who, what, how it ended and how long it took: numbers are numbers."""
    sent = [("x-api-key", "free"), ("x-request-id", request_id)]
    envoy.public.send("GET", f"{_JOB}?secret=canary", *sent)
    line = envoy.access_line(request_id)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    durations = [line.pop(name) for name in ("duration_ms", "authz_us", "upstream_us")]
    assert all(isinstance(it, int | float) and it > 0 for it in durations)
    assert round(durations[0], 1) == durations[0]
    assert line == {
        "severity": "INFO",
        "message": "Request completed",
        "request_id": request_id,
        "method": "GET",
        "path": _JOB,
        "route": "job",
        "status_code": 200,
        "flags": "-",
        "details": "via_upstream",
        "subject": "key:free",
        "tier": "free",
        "key_id": "k1",
        "reason": "ok",
        "decision_id": "d1",
    }


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (_JOB, [("x-api-key", "nobody")], ("WARNING", 401, "ext_authz_denied", "key:free")),
        (_JOB, [("x-api-key", "raise")], ("ERROR", 503, "ext_authz_error", None)),
        ("/nowhere", [], ("WARNING", 404, "direct_response", None)),
        ("/healthz", [], ("INFO", 200, "via_upstream", None)),
    ],
)
def test_how_it_ended(
    envoy: Envoy, request_id: str, path: str, headers: Headers, expected: tuple[object, ...]
) -> None:
    """Denials name their subject; what was never asked about has none."""
    envoy.public.send("GET", path, *headers, ("x-request-id", request_id))
    line = envoy.access_line(request_id)
    found = (line["severity"], line["status_code"], line["details"], line.get("subject"))
    assert found == expected


def test_a_client_that_went_away_is_499(envoy: Envoy, request_id: str) -> None:
    """It saw no answer; the line still has its id, so that its story can be found."""
    head = f"GET {_JOB} HTTP/1.1\r\nhost: a\r\nx-api-key: free\r\nx-do: hang\r\n"
    with envoy.public.connect() as connection:
        connection.sendall(f"{head}x-request-id: {request_id}\r\n\r\n".encode())
    line = envoy.access_line(request_id)
    assert (line["status_code"], line["details"]) == (499, "downstream_remote_disconnect")


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ([("x-cloud-trace-context", f"{_TRACE}/1;o=1")], _TRACE),
        ([("x-cloud-trace-context", _TRACE)], _TRACE),
        ([("x-cloud-trace-context", f"{_TRACE.upper()}/1;o=1")], _TRACE),
        ([("traceparent", _PARENT)], _TRACE),
        ([("x-cloud-trace-context", "nonsense/1"), ("traceparent", _PARENT)], _TRACE),
        ([("x-cloud-trace-context", f"{_TRACE}/1"), ("traceparent", f"00-{'1' * 32}-x")], _TRACE),
        ([], None),
        ([("traceparent", "nonsense")], None),
        ([("traceparent", f'00-{"x" * 32}-"}},{{')], None),
        ([("x-cloud-trace-context", "0" * 32), ("traceparent", f"00-{'0' * 32}-1-1")], None),
        ([("x-cloud-trace-context", f"{_TRACE}{_TRACE}/1")], None),
    ],
)
def test_the_trace(envoy: Envoy, request_id: str, headers: Headers, trace: str | None) -> None:
    """Google's header, else W3C's, if it is a trace id at all; else no field."""
    envoy.public.send("GET", "/healthz", *headers, ("x-request-id", request_id))
    expected = None if trace is None else f"projects/my-project/traces/{trace}"
    assert envoy.access_line(request_id).get(_TRACE_FIELD) == expected


def test_odd_bytes_stay_inside_their_field(envoy: Envoy, request_id: str) -> None:
    """A path cannot forge a line or break one."""
    path = '/x"},{"severity":"INFO","y":"'
    envoy.public.send("GET", path, ("x-request-id", request_id))
    line = envoy.access_line(request_id)
    assert (unquote(line["path"]), line["severity"]) == (path, "WARNING")


def test_garbage_has_a_line_too(envoy: Envoy) -> None:
    """What never was a request is logged under the id that its answer carried."""
    answer = envoy.public.raw(b"not http at all\r\n\r\n")
    line = envoy.access_line(answer.headers["x-request-id"])
    assert line["status_code"] == 400


def test_no_secret_is_logged(envoy: Envoy, public: Client) -> None:
    """Credentials, queries, cookies and bodies appear in neither log, however a request ends."""
    canary = "canary5ecret"
    secrets = [
        ("authorization", f"Bearer {canary}"),
        ("x-api-key", canary),
        ("cookie", f"session={canary}"),
        ("user-agent", canary),
        ("referer", f"https://example.com/?{canary}"),
    ]
    marks = []
    for number, (method, path) in enumerate(
        [
            ("GET", f"{_JOB}?api_key={canary}"),
            ("GET", f"/healthz?api_key={canary}"),
            ("GET", f"/nowhere?access_token={canary}"),
            ("PUT", f"{_JOB}?x={canary}"),
            ("GET", f"/a%2Fb?x={canary}"),
        ]
    ):
        marks.append(f"canary-mark-{number}")
        public.send(method, path, *secrets, ("x-request-id", marks[-1]))
    too_large = f"GET /healthz?key={canary} HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n"
    marks.append(public.raw(too_large.encode()).headers["x-request-id"])
    public.raw(f"{canary} not http\r\n\r\n".encode())
    for mark in marks:
        assert envoy.access_line(mark)
    assert canary not in envoy.access_text()
    assert canary not in envoy.own_log


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"not http at all\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /a%2Fb HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nx_y: z\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n",
    ],
)
def test_the_network_cannot_fill_envoys_own_log(envoy: Envoy, request_bytes: bytes) -> None:
    """Whatever a client sends has its access line and adds nothing elsewhere."""
    before = envoy.own_log
    answer = envoy.public.raw(request_bytes)
    assert envoy.access_line(answer.headers["x-request-id"])
    assert envoy.own_log == before
    assert "gauge" not in before  # said at the first, second, fourth, ... occurrence only
