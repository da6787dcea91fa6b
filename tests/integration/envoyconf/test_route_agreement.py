"""Envoy and our own matcher give a request the same route."""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.core.facts import Facts
from authz_service.core.match import RouteMatcher
from authz_service.core.rules import Authentication, Policy
from authz_service.envoyconf.render import render
from tests.integration.envoyconf.client import Client
from tests.integration.envoyconf.envoy_process import local_settings, running, short_folder
from tests.integration.envoyconf.stub_authz import StubAuthz
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.unit.envoyconf.builders import route

_ROUTES = (
    route("exact", ("GET",), "/a/b"),
    route("first", ("GET", "POST"), "/a/{x}"),
    route("second", ("DELETE",), "/{y}/b", "/a/b"),
    route("deep", ("GET",), "/a/{x}/c/{y}"),
    route("signs", ("GET",), "/a.b/-_~/{x}", "/a+b(c)$/{x}"),
    route("root", ("GET",), "/"),
)
_OPEN = route("open", ("GET",), "/healthz", authentication=Authentication.NONE)  # to see it serve
_SEGMENTS = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "axb", "-_~", "a+b(c)$", "aab(c)$"]),
    st.text("abAZ09-_~;=@:", min_size=1, max_size=4),
)
_PATHS = st.lists(_SEGMENTS, max_size=5).map(lambda segments: "/" + "/".join(segments))
_METHODS = st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT"])


@pytest.fixture(scope="module")
def overlapping(upstream: StubUpstream) -> Iterator[tuple[Policy, Client, StubAuthz]]:
    """An Envoy whose routes overlap and contain characters that mean something to a regex."""
    folder = short_folder()
    policy = replace(policy_for(upstream), routes=(*_ROUTES, _OPEN))
    settings_here = local_settings(folder)
    authz = StubAuthz(settings_here.authz_sockets[0])
    authz.start()
    with running(render(policy, settings_here), settings_here) as envoy:
        yield policy, envoy.public, authz
    authz.stop()
    shutil.rmtree(folder)


@settings(max_examples=150, deadline=None)
@given(method=_METHODS, path=_PATHS)
def test_both_sides_choose_the_same_route(
    overlapping: tuple[Policy, Client, StubAuthz], method: str, path: str
) -> None:
    """The first route in order that knows path and method; or neither side has one."""
    policy, client, authz = overlapping
    request_id = secrets.token_hex(8)
    query = ("x-api-key", "free"), ("x-request-id", request_id)
    answer = client.send(method, f"{path}?a=/b", *query)
    ours = RouteMatcher(policy).find(_facts(method, path))
    asked = [check.attributes for check in authz.asked_for(request_id)]
    names = [it.context_extensions["route"] for it in asked if it is not None]
    assert names == ([] if ours is None else [ours.name])
    assert answer.status == 200 if ours else answer.status in {404, 405}


def _facts(method: str, path: str) -> Facts:
    return Facts(
        method=method,
        path=path,
        query="",
        route_hint="",
        request_id="",
        stream_id="",
        client_address="",
        api_keys=(),
        authorizations=(),
        traceparent="",
        cloud_trace="",
    )
