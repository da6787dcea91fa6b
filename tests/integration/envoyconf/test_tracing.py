"""Which requests Envoy traces, under which ids, and what it says of them."""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from authz_service.envoyconf.model import BOOTSTRAP_FILE
from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Answer
from tests.integration.envoyconf.envoy_process import Envoy, local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import StubAuthz, headers_of, request_id_of
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.servers.collector import Collector, Span, collecting

JOB = "/api/v1/jobs/7"
TRACE = "105445aa7843bc8bf206b12000100000"
HALF = TRACE[:16]
SPAN = "00f067aa0ba902b7"
CLOUD_FIELD = "logging.googleapis.com/trace"
CANARY = "canary-2c9d71e0"

_SHIPPED_FLUSH = "flush_interval_ms: 1000"
_QUICK_FLUSH = "flush_interval_ms: 50"

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Traced:
    """An Envoy whose spans are collected."""

    envoy: Envoy
    collector: Collector
    authz: StubAuthz

    def checked(self, request_id: str) -> dict[str, bytes]:
        """The headers that the authorizer was shown of a request."""
        (check,) = [it for it in self.authz.checks if request_id_of(it) == request_id]
        return dict(headers_of(check))

    def send(
        self, *headers: Header, path: str = JOB, method: str = "GET", key: str = "free"
    ) -> tuple[Answer, str]:
        """A request, and the id it goes by."""
        request_id = f"traced-{secrets.token_hex(8)}"
        sent = (*headers, ("x-request-id", request_id), ("x-api-key", key))
        return self.envoy.public.send(method, path, *sent), request_id

    def entry(self, request_id: str) -> Span:
        """The span of a request as it came in."""
        found: list[Span] = []

        def has_come(spans: Sequence[Span]) -> bool:
            found[:] = [it for it in spans if it.attributes.get("guid:x-request-id") == request_id]
            return bool(found)

        self.collector.wait_for(has_come)
        (entry,) = found
        return entry


@pytest.fixture(scope="module", params=[1.0])
def traced(request: pytest.FixtureRequest, upstream: StubUpstream) -> Iterator[Traced]:
    """An Envoy that traces this part of all requests."""
    folder = short_folder()
    authz = StubAuthz(f"{folder}/authz.sock")
    authz.start()
    with collecting() as collector:
        place = ("127.0.0.1", collector.port)
        settings = replace(
            local_settings(folder), collector=place, trace_sampling=float(request.param)
        )
        files = render(policy_for(upstream), settings)
        assert _SHIPPED_FLUSH in files[BOOTSTRAP_FILE]
        files[BOOTSTRAP_FILE] = files[BOOTSTRAP_FILE].replace(_SHIPPED_FLUSH, _QUICK_FLUSH)
        with running(files, settings) as envoy:
            yield Traced(envoy, collector, authz)
    authz.stop()
    shutil.rmtree(folder)


def w3c(*, trace: str = TRACE, span: str = SPAN, rest: str = "-01") -> Header:
    """W3C's header."""
    return ("traceparent", f"00-{trace}-{span}{rest}")


def cloud(value: str) -> Header:
    """Google's header."""
    return ("x-cloud-trace-context", value)


@pytest.mark.parametrize(
    ("headers", "parent"),
    [
        ([w3c()], SPAN),
        ([w3c(rest="-ff")], SPAN),
        ([cloud(f"{TRACE}/1;o=1")], HALF),
        ([cloud(f"{TRACE}/1")], HALF),
        ([cloud(TRACE)], HALF),
        ([cloud(f"{'a' * 32}/1;o=1"), w3c()], SPAN),
        ([cloud(f"{TRACE}/1;o=1"), w3c(trace="0" * 32)], HALF),
        ([cloud(f"{TRACE}/1;o=1"), ("traceparent", "nonsense")], HALF),
    ],
)
def test_a_trace_goes_on(traced: Traced, headers: list[Header], parent: str) -> None:
    """From either header, W3C's first; the application is told of Envoy's span alone."""
    answer, request_id = traced.send(*headers)
    entry = traced.entry(request_id)
    assert (entry.trace_id, entry.parent_id) == (TRACE, parent)
    told = {name: value for name, value in answer.json()["headers"] if "trace" in name}
    assert told == {"traceparent": f"00-{TRACE}-{entry.span_id}-01", "tracestate": ""}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "nonsense")],
        [("traceparent", f"cc-{TRACE}-{SPAN}-01-more")],
        [w3c(rest="-0x")],
        [w3c(rest="-01-more")],
        [w3c(trace=TRACE.upper())],
        [w3c(trace="0" * 32)],
        [w3c(span="0" * 16)],
        [w3c(), w3c()],
        [cloud(f"{TRACE}/x;o=1")],
        [cloud(f"{TRACE}{TRACE}/1;o=1")],
        [cloud(f"{'0' * 16}{HALF}/1;o=1")],
        [cloud(f"{TRACE}/1;o=1, {TRACE}/1;o=1")],
        [("x-trace-chosen", f"00-{TRACE}-{SPAN}-"), ("x-trace-flags", "01")],
    ],
)
def test_a_trace_begins(traced: Traced, headers: list[Header]) -> None:
    """Without a sane parent, Envoy makes a trace of its own; nobody escapes it by nonsense."""
    _, request_id = traced.send(*headers)
    entry = traced.entry(request_id)
    assert entry.parent_id == ""
    assert entry.trace_id != TRACE


@pytest.mark.parametrize("headers", [[w3c(rest="-00")], [cloud(f"{TRACE}/1;o=0")]])
def test_a_client_may_say_no(traced: Traced, headers: list[Header]) -> None:
    """Its trace has no span of ours; the log and the application still have its id."""
    answer, request_id = traced.send(*headers)
    (told,) = [value for name, value in answer.json()["headers"] if name == "traceparent"]
    assert (told[:36], told[-3:]) == (f"00-{TRACE}-", "-00")
    assert traced.envoy.access_line(request_id)["trace_id"] == TRACE
    _, later = traced.send()
    traced.entry(later)
    ids = [it.attributes.get("guid:x-request-id") for it in traced.collector.spans]
    assert request_id not in ids


def test_the_authorizer_is_told_its_own_parent(traced: Traced) -> None:
    """The call of the check has a span inside the request's, which is named after its route."""
    _, request_id = traced.send()
    entry = traced.entry(request_id)
    check = next(it for it in traced.collector.trace(entry.trace_id) if it.parent_id)
    assert (check.parent_id, check.service) == (entry.span_id, "envoy")
    assert entry.name == "/api/v1/jobs/{job_id}"
    assert not any(name.startswith("grpc.") for name in entry.attributes)


@pytest.mark.parametrize(
    ("path", "key"), [(JOB, "free"), (JOB, "nobody"), (JOB, "raise"), ("/nowhere", "free")]
)
def test_the_log_has_the_trace_of_the_spans(traced: Traced, path: str, key: str) -> None:
    """Also of denials and where Envoy answers itself, and in Google's form."""
    _, request_id = traced.send(path=path, key=key)
    line, entry = traced.envoy.access_line(request_id), traced.entry(request_id)
    assert line["trace_id"] == entry.trace_id
    assert line[CLOUD_FIELD] == f"projects/my-project/traces/{entry.trace_id}"


def test_the_check_has_the_trace_of_the_spans(traced: Traced) -> None:
    """As a header among the others too, whoever began it."""
    _, request_id = traced.send()
    entry = traced.entry(request_id)
    told = traced.checked(request_id)["traceparent"].decode()
    assert told == f"00-{entry.trace_id}-{entry.span_id}-00"


@pytest.mark.parametrize(
    "request_head",
    [b"no request", b"GET /a%2fb HTTP/1.1\r\nhost: a", b"GET / HTTP/1.0", b"GET / HTTP/1.1"],
    ids=["nonsense", "escaped slash", "old version", "no host"],
)
def test_what_never_had_a_span_has_no_trace(traced: Traced, request_head: bytes) -> None:
    """No field at all, rather than a name without an id."""
    answer = traced.envoy.public.raw(request_head + b"\r\n\r\n")
    line = traced.envoy.access_line(answer.headers["x-request-id"])
    assert line["status_code"] == answer.status != 200
    assert {"trace_id", CLOUD_FIELD}.isdisjoint(line)


def test_no_span_holds_what_a_client_wrote(traced: Traced) -> None:
    """Only the path and its id, no query, header, host or odd method, be it called gRPC or not."""
    headers = [
        (name, CANARY)
        for name in (
            *("authorization", "cookie", "user-agent", "referer", "x-client-trace-id"),
            *("tracestate", "baggage", "x-envoy-downstream-service-cluster", "x-b3-traceid"),
            *("x-forwarded-for", "x-forwarded-host", "x-ot-span-context", "x-cloud-trace-context"),
        )
    ]
    sent = [
        traced.send(*headers, path=f"{path}?api_key={CANARY}", method=method)[1]
        for method, path in (("GET", JOB), ("PUT", JOB), ("GET", "/healthz"), ("GET", "/nowhere"))
    ]
    grpc = (("content-type", f"application/grpc+{CANARY}"), ("grpc-timeout", CANARY))
    _, called_grpc = traced.send(*grpc, path=f"{JOB}?api_key={CANARY}")
    _, wrong_key = traced.send(("x-api-key", CANARY))
    answer = traced.envoy.public.raw(
        f"GET {JOB}?{CANARY} HTTP/1.1\r\nhost: {CANARY}\r\nx-api-key: free\r\n\r\n".encode()
    )
    for request_id in (*sent, called_grpc, wrong_key, answer.headers["x-request-id"]):
        traced.entry(request_id)
    assert CANARY.encode() not in traced.collector.raw


@pytest.mark.parametrize("traced", [0.5], indirect=True)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e")],
        [w3c()],
        [cloud(f"{TRACE}/1;o=1")],
        [("x-client-trace-id", "a"), ("x-envoy-force-trace", "1")],
    ],
)
def test_half_of_the_requests(traced: Traced, headers: list[Header]) -> None:
    """Of each kind: what a client sends neither raises its part nor fixes the draw."""
    sampled = 0
    for _ in range(200):
        answer = traced.envoy.public.send("GET", "/healthz", *headers)
        (told,) = [value for name, value in answer.json()["headers"] if name == "traceparent"]
        sampled += told.endswith("-01")
    assert 60 <= sampled <= 140


@pytest.mark.parametrize("traced", [0.0], indirect=True)
def test_none_of_the_requests(traced: Traced) -> None:
    """At nought nothing is sampled, whatever the client says; log lines have their trace."""
    for headers in ([], [w3c()], [cloud(f"{TRACE}/1;o=1")]):
        answer, request_id = traced.send(*headers)
        (told,) = [value for name, value in answer.json()["headers"] if name == "traceparent"]
        assert told.endswith("-00")
        assert traced.envoy.access_line(request_id)["trace_id"] in told
    _, denied = traced.send(key="nobody")
    told = traced.checked(denied)["traceparent"].decode()
    assert traced.envoy.access_line(denied)["trace_id"] in told
