"""What `explain` believes Envoy does before it asks is what Envoy does."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authz_service.core.respond import Refuse
from authz_service.core.rules import Authentication, Policy
from authz_service.envoyconf.render import render
from authz_service.explain.envoy import Asked, arrive
from authz_service.explain.request import client_request
from tests.integration.envoyconf.client import Answer, Client
from tests.integration.envoyconf.envoy_process import local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import StubAuthz, headers_of
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.unit.envoyconf.builders import route

ORIGIN = "https://app.example.com"
_DEEP = tuple("/" + "/".join(f"{{{name}}}" for name in "abcdefg"[:depth]) for depth in range(1, 8))
_PIECES = st.sampled_from(
    [
        *("", "", ".", "..", "a", "b", "a.b", "...", "%2e", "%2E%2e", "%41", "%7e", "%c3%A4"),
        *("%", "%zz", "%252e", "%25", "%20", "%2F", "%5c", "%00", ";", "a;b=1", "..;", ".;a=1"),
        "!$&'()*+,=:@-_~",
    ]
)
_PATHS = st.lists(_PIECES, max_size=6).map(lambda pieces: "/" + "/".join(pieces))
_QUERIES = st.sampled_from(["", "?", "?x=//../b", "?x=%2F", "?x[]=<>{}|^`", "?a?b"])


@dataclass(frozen=True, slots=True)
class Door:
    """Envoy with its policy, and the authorizer behind it."""

    policy: Policy
    client: Client
    authz: StubAuthz

    def send(
        self, method: str, target: str, *headers: tuple[str, str]
    ) -> tuple[Answer, list[tuple[str, list[tuple[str, bytes]]]]]:
        """Envoy's answer, and the path and the headers of each check it asked."""
        request_id = secrets.token_hex(8)
        answer = self.client.send(
            method, target, ("x-api-key", "free"), ("x-request-id", request_id), *headers
        )
        checks = []
        for check in self.authz.asked_for(request_id):
            assert check.attributes is not None
            assert check.attributes.request is not None
            assert check.attributes.request.http is not None
            checks.append((check.attributes.request.http.path, headers_of(check)))
        return answer, checks

    def explained(
        self, method: str, target: str, *headers: tuple[str, str]
    ) -> Asked | Refuse | None:
        """What `explain` says of it: how it is asked, what Envoy answers, or that it passes."""
        request = client_request(
            method=method,
            target=target,
            headers=(("x-api-key", "free"), *headers),
            client_address="127.0.0.1",
        )
        arrived = arrive(request, self.policy)
        if isinstance(arrived, Asked):
            return arrived
        return arrived.answer if isinstance(arrived.answer, Refuse) else None


@pytest.fixture(scope="module")
def door(upstream: StubUpstream) -> Iterator[Door]:
    """An Envoy that asks about every path, however deep."""
    folder = short_folder()
    routes = (
        route("open", ("GET",), "/healthz", authentication=Authentication.NONE),
        route("any", ("GET", "DELETE"), "/", *_DEEP),
    )
    policy = replace(policy_for(upstream), routes=routes, cors_origins=(ORIGIN,))
    settings_here = local_settings(folder)
    authz = StubAuthz(settings_here.authz_sockets[0])
    authz.start()
    with running(render(policy, settings_here), settings_here) as envoy:
        yield Door(policy, envoy.public, authz)
    authz.stop()
    shutil.rmtree(folder)


@settings(max_examples=150, deadline=None)
@given(_PATHS, _QUERIES)
@example("//", "")
@example("/a//../b", "")
@example("/a/b/..", "")
@example("/a/..;a=1/b", "")
@example("/a/%2e.;/b", "")
def test_a_path_arrives_as_explained(door: Door, path: str, query: str) -> None:
    """Asked about with the same spelling, or refused with the same status."""
    answer, checks = door.send("GET", path + query)
    explained = door.explained("GET", path + query)
    if isinstance(explained, Asked):
        facts = explained.facts
        spelled = facts.path + (f"?{facts.query}" if query else "")
        assert [asked for asked, _ in checks] == [spelled]
        return
    assert checks == []
    assert answer.status == (explained.status if explained else 200)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/healthz", []),
        ("POST", "/healthz", []),
        ("POST", "/a", []),
        ("TRACE", "/a", []),
        ("GET", "/a", [("x_custom", "1")]),
        ("GET", "/a", [("X-API_Key", "free")]),
        ("OPTIONS", "/a", []),
        ("OPTIONS", "/a", [("origin", ORIGIN)]),
        ("OPTIONS", "/a", [("origin", ORIGIN), ("access-control-request-method", "GET")]),
        ("OPTIONS", "/a", [("origin", "null"), ("access-control-request-method", "GET")]),
    ],
)
def test_envoy_answers_alone_as_explained(
    door: Door, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    """The same status and code, the same methods allowed, and nobody is asked."""
    answer, checks = door.send(method, path, *headers)
    explained = door.explained(method, path, *headers)
    assert checks == []
    if explained is None:
        assert answer.status == 200
        return
    assert isinstance(explained, Refuse)
    assert answer.status == explained.status
    assert answer.headers.get("allow") == dict(explained.headers).get("allow")
    assert f'"code":"{answer.json()["error"]["code"]}"' in explained.body


@pytest.mark.parametrize(
    "headers",
    [
        [("x-authz-tier", "pro"), ("X-Envoy-External-Address", "198.51.100.9")],
        [("X-API-Key", "  pro\t")],
        [("x-api-key", "")],
        [("authorization", "Bearer a.b.c")],
        [("authorization", "Bearer a.b.c"), ("Authorization", "")],
        [("authorization", ""), ("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
        [("authorization", "")],
    ],
)
def test_a_check_has_the_headers_as_explained(door: Door, headers: list[tuple[str, str]]) -> None:
    """Credentials whole and apart, the address Envoy's own."""
    _, [(_, sent)] = door.send("GET", "/a", *headers)
    explained = door.explained("GET", "/a", *headers)
    assert isinstance(explained, Asked)
    values = [
        [value for name, value in sent if name == it] for it in ("x-api-key", "authorization")
    ]
    assert values == [list(explained.facts.api_keys), list(explained.facts.authorizations)]
    assert ("x-envoy-external-address", explained.facts.client_address.encode()) in sent
