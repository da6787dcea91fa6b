"""Limits over all callers: what Envoy asks, when it does not, and what it makes of the answer."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from authz_service.core.over_limit import over_limit_body
from authz_service.core.rules import Authentication, Rate, Route
from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Answer, Client
from tests.integration.envoyconf.envoy_process import local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import OVER, StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.integration.envoyconf.test_errors import assert_is_error
from tests.unit.envoyconf.builders import FILE_LIMITS, OVERHEAD, route

_KEY = ("x-api-key", "free")


def limited(path: str, *names: str, shadow: bool = False) -> Route:
    """A route with limits over all callers."""
    limits = tuple(Rate(name=name, limit=600, window_ms=60_000) for name in names)
    plain = route(path.strip("/"), ("GET", "POST"), path)
    return replace(plain, global_limits=limits, shadow=shadow)


_ROUTES = (
    limited("/passing", "passing-total"),
    limited("/two", "first-total", "second-total"),
    limited("/over", "over-total"),
    limited("/broken", "broken-total"),
    limited("/late", "late-total"),
    limited("/dying", "dying-total"),
    limited("/shadow", "over-total", shadow=True),
    limited("/plain"),
    replace(limited("/open", "over-total"), authentication=Authentication.NONE),
)


@pytest.fixture(scope="module")
def public(settings: EnvoySettings, authz: StubAuthz, upstream: StubUpstream) -> Iterator[Client]:  # noqa: ARG001
    """The door of an Envoy that has limits over all callers."""
    policy = policy_for(upstream)
    health = tuple(it for it in policy.routes if it.name == "health")
    folder = short_folder()
    own = replace(local_settings(folder), authz_sockets=settings.authz_sockets)
    with running(render(replace(policy, routes=(*_ROUTES, *health)), own), own) as envoy:
        yield envoy.public
    shutil.rmtree(folder)


def send(public: Client, path: str, request_id: str, *headers: tuple[str, str]) -> Answer:
    """A request whose question can be found again."""
    return public.send("GET", path, ("x-request-id", request_id), *headers)


def test_each_limit_is_asked_for_by_its_name(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """One question a request, a descriptor a limit, in the policy's order, for one hit."""
    assert send(public, "/two?a=1", request_id, _KEY).status == 200
    (question,) = authz.questions_of(request_id)
    assert question.request.domain == "authz"
    assert question.request.hits_addend in {0, 1}
    assert question.entries == [
        [("global_limit", "first-total")],
        [("global_limit", "second-total")],
    ]


def test_below_the_limit_nothing_of_it_is_seen(
    public: Client, upstream: StubUpstream, request_id: str
) -> None:
    """The application gets the request, and the client the headers of its own limits alone."""
    answer = send(public, "/passing", request_id, _KEY)
    assert (answer.status, answer.headers["x-ratelimit-limit"]) == (200, "10")
    assert request_id in upstream.seen


def test_over_the_limit_our_answer_passes_byte_for_byte(
    public: Client, upstream: StubUpstream, request_id: str
) -> None:
    """429 in the one form, with the limit's name and the time to wait; nothing gets through."""
    answer = send(public, "/over", request_id, _KEY)
    assert_is_error(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert answer.body.decode() == over_limit_body(OVER, request_id=request_id)
    assert answer.json()["error"]["details"] == {"limit": "over-total", "retry_after": 7}
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-request-id"] == request_id
    assert answer.headers["x-ratelimit-limit"] == "10"
    assert not [name for name in answer.headers if name.startswith("x-envoy")]
    assert "x-response-time" in answer.headers
    assert request_id not in upstream.seen


def test_an_id_that_envoy_makes_up_is_told_too(public: Client) -> None:
    """Whoever sends none gets a body all the same, under the id that the answer carries."""
    assert_is_error(public.send("GET", "/over", _KEY), 429, "RATE_LIMIT_EXCEEDED")


def test_who_is_denied_is_not_counted(public: Client, authz: StubAuthz, request_id: str) -> None:
    """A refused credential takes nothing from what is everybody's."""
    answer = send(public, "/passing", request_id, ("x-api-key", "unknown"))
    assert answer.status == 401
    assert authz.questions_of(request_id) == []


def test_a_body_that_is_too_large_is_not_counted(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """A length above the limit is refused before everybody's limit is asked for."""
    length = str(FILE_LIMITS["free"] + OVERHEAD + 1)
    lines = (
        *("POST /passing HTTP/1.1", "host: a", "x-api-key: free"),
        *(f"x-request-id: {request_id}", f"content-length: {length}"),
    )
    answer = public.raw("\r\n".join([*lines, "", ""]).encode(), method="POST")
    assert answer.status == 413
    assert authz.questions_of(request_id) == []


def test_an_upload_below_both_limits_arrives_whole(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """Its body waits for the answer and is then passed on."""
    body = b"x" * 300_000
    sent = ("x-request-id", request_id)
    answer = public.send("POST", "/passing", _KEY, sent, body=body)
    assert (answer.status, answer.json()["received"]) == (200, len(body))
    assert len(authz.questions_of(request_id)) == 1


@pytest.mark.parametrize("path", ["/broken", "/late"])
def test_without_an_answer_nothing_passes(
    public: Client, authz: StubAuthz, upstream: StubUpstream, request_id: str, path: str
) -> None:
    """A status or a late answer: 503 in the one form, asked only once."""
    answer = send(public, path, request_id, _KEY)
    assert_is_error(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert request_id not in upstream.seen
    assert len(authz.questions_of(request_id)) == 1


def test_a_question_that_is_sent_again_has_the_same_mark(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """A worker that dies over it is not noticed, and what it counted is known by the mark."""
    assert send(public, "/dying", request_id, _KEY).status == 200
    marks = [it.metadata["x-authz-once"] for it in authz.questions_of(request_id)]
    assert (len(marks), len(set(marks))) == (3, 1)


def test_no_client_chooses_the_mark(public: Client, authz: StubAuthz, request_id: str) -> None:
    """One id of a request sent twice, and a header of the mark's name: two marks all the same."""
    for _ in range(2):
        send(public, "/passing", request_id, _KEY, ("x-authz-once", "mine"))
    first, second = [it.metadata["x-authz-once"] for it in authz.questions_of(request_id)]
    assert len({first, second, "mine", request_id}) == 4


@pytest.mark.parametrize("path", ["/shadow", "/plain"])
def test_where_nothing_may_refuse_nobody_is_asked(
    public: Client, authz: StubAuthz, request_id: str, path: str
) -> None:
    """A route in shadow, and one without such limits."""
    assert send(public, path, request_id, _KEY).status == 200
    assert authz.questions_of(request_id) == []


def test_a_route_open_to_everybody_can_be_limited(
    public: Client, authz: StubAuthz, request_id: str
) -> None:
    """These limits need no caller."""
    assert_is_error(send(public, "/open", request_id), 429, "RATE_LIMIT_EXCEEDED")
    assert len(authz.questions_of(request_id)) == 1
    assert authz.asked_for(request_id) == []
