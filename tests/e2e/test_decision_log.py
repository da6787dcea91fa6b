"""The decision log of a running service, beside the access log of a real Envoy."""

import json
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from authz_service.core.rules import StoreFailure
from tests.e2e.client import Reply
from tests.e2e.guarded import (
    HAMMERED_LIMIT,
    OTHERS_PATH,
    Guarded,
    guarded,
    hammered_key,
    path_of,
    steady_key,
)
from tests.e2e.processes import eventually
from tests.servers.collector import collecting

PATH = path_of(StoreFailure.LOCAL)
GOOD_KEY = steady_key(StoreFailure.LOCAL)
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAME = ("request_id", "logging.googleapis.com/trace", "decision_id", "reason", "method", "path")


@pytest.fixture(scope="module", params=[False, True], ids=["denials", "allows too"])
def allows(request: pytest.FixtureRequest) -> bool:
    """Whether the service was asked for lines of allows."""
    return bool(request.param)


@pytest.fixture(scope="module")
def stack(*, allows: bool) -> Iterator[Guarded]:
    """A service with one worker; what to log is left to its defaults, or allows are added."""
    asked_for = {"AUTHZ_DECISION_LOG_ALLOWS": "1"} if allows else {}
    with guarded(
        "memory://", AUTHZ_WORKERS="1", GOOGLE_CLOUD_PROJECT="test-project", **asked_for
    ) as it:
        yield it


def ask(stack: Guarded, path: str, key: str) -> Reply:
    """One request of a client that is traced. Its id is its own: else it would be the trace's."""
    headers = [
        ("X-API-Key", key),
        ("X-Cloud-Trace-Context", f"{TRACE}/1;o=1"),
        ("X-Request-ID", secrets.token_hex(8)),
    ]
    return stack.client.get(f"{path}?page=2", headers)


def find(log: Path, message: str, request_id: str) -> dict[str, Any] | None:
    """The line of a request that says so."""
    for text in log.read_text().splitlines():
        line: dict[str, Any] = json.loads(text) if request_id in text else {}
        if line.get("message") == message:
            return line
    return None


def lines_of(stack: Guarded, reply: Reply) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The access line, which comes a moment after the answer, and the decision's, if any."""
    request_id = reply.header("x-request-id")
    access = eventually(partial(find, stack.access_log, "Request completed", request_id))
    return access, find(stack.sidecar_log, "Decision", request_id)


def test_a_denial_and_its_access_line_are_one(stack: Guarded) -> None:
    """A 401, a 403 and a 429: one id leads from either line to the other, and they agree."""
    replies = [ask(stack, PATH, "no-such-key"), ask(stack, OTHERS_PATH, GOOD_KEY)]
    replies.append([ask(stack, PATH, hammered_key(0)) for _ in range(HAMMERED_LIMIT + 1)][-1])
    told = []
    for reply in replies:
        access, decision = lines_of(stack, reply)
        assert decision is not None
        assert {name: decision[name] for name in SAME} == {name: access[name] for name in SAME}
        assert decision.get("subject") == access.get("subject")
        assert decision["trace_id"] == TRACE
        told.append((decision["status_code"], decision["decision"], decision["reason"]))
    assert [status for status, _, _ in told] == [reply.status for reply in replies]
    assert told == [
        (401, "deny", "unknown_key"),
        (403, "deny", "tier_not_allowed"),
        (429, "over_limit", "rate_limited"),
    ]


def test_an_allow_has_a_line_where_it_is_asked_for(stack: Guarded, *, allows: bool) -> None:
    """The access line is there in any case; by default it is the only one."""
    reply = ask(stack, PATH, GOOD_KEY)
    access, decision = lines_of(stack, reply)
    assert (reply.status, access["reason"]) == (200, "ok")
    told = None if decision is None else (decision["decision"], decision["decision_id"])
    assert told == (("allow", access["decision_id"]) if allows else None)


def test_no_line_shows_a_key(stack: Guarded) -> None:
    """Neither a good one nor a bad one, nor a query."""
    for key in (GOOD_KEY, "canary-of-nobody"):
        _, decision = lines_of(stack, ask(stack, PATH, key))
        assert "page=2" not in str(decision)
    text = stack.sidecar_log.read_text()
    assert "canary-of-nobody" not in text


def test_lines_of_a_traced_denial_name_one_trace() -> None:
    """That of its spans, in one form, also where the client names none."""
    traced = {"AUTHZ_WORKERS": "1", "GOOGLE_CLOUD_PROJECT": "test-project"}
    with (
        collecting() as collector,
        guarded("memory://", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **traced) as stack,
    ):
        sent = [("X-API-Key", "no-such-key"), ("X-Request-ID", secrets.token_hex(8))]
        access, decision = lines_of(stack, stack.client.get(PATH, sent))
        collector.wait_for(lambda _: bool(collector.trace(access["trace_id"])))
    assert decision is not None
    name = f"projects/test-project/traces/{access['trace_id']}"
    assert access["logging.googleapis.com/trace"] == name
    assert {it: decision[it] for it in ("trace_id", *SAME)} == {
        it: access[it] for it in ("trace_id", *SAME)
    }
