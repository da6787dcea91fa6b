"""The limits in the image service's policy are those its handlers are marked with."""

from pathlib import Path

import pytest
import yaml
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.core.rules import Rate
from authz_service.policy.compile import compile_policy
from authz_service.policy.merge import Merged
from authz_service.policy.parse import parse
from authz_service.policy.sources import load_policy
from authz_service.testing.builders import read_policy
from image_service.cli import main
from image_service.http import Endpoint, Routes
from image_service.limits import MAX_REQUESTS, MAX_WINDOW_S, limits_of, rate_limit
from image_service.policy_fragment import policy_fragment

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "image_service" / "policy.yaml"
MINIMAL = (ROOT / "tests" / "fixtures" / "policies" / "valid" / "minimal.yaml").read_text("utf-8")
FRAGMENT = ROOT / "image_service" / "policy-limits.yaml"


def test_the_fragment_is_what_the_marks_say(capsys: pytest.CaptureFixture[str]) -> None:
    """A difference means: write it anew, `image_service policy-fragment --output FILE`."""
    assert (main(["policy-fragment", "--check", str(FRAGMENT)]), capsys.readouterr().out) == (0, "")


@pytest.mark.parametrize("endpoint", Routes.endpoints(), ids=lambda it: f"{it.method}-{it.path}")
def test_the_policy_limits_each_request_as_its_handler_is_marked(endpoint: Endpoint) -> None:
    """Under the route that the table names, which is the one that the request falls under."""
    (route,) = [
        route
        for route in load_policy(POLICY, {}).routes
        if endpoint.method in route.methods and endpoint.path in route.paths
    ]
    assert route.name == endpoint.route
    assert route.limits == tuple(
        Rate(name=it.name or route.name, limit=it.requests, window_ms=it.window_s * 1000)
        for it in limits_of(endpoint.handler)
    )


def test_every_limit_of_a_route_comes_from_a_mark() -> None:
    """None is written by hand into the policy."""
    routes = yaml.safe_load(POLICY.read_text("utf-8"))["routes"]
    assert [route["name"] for route in routes if "limits" in route] == []


def test_the_policy_is_the_one_that_is_written_out() -> None:
    """With its limits put into the routes by hand it is the same, its digest too."""
    policy = yaml.safe_load(POLICY.read_text("utf-8"))
    del policy["include"]
    for route in policy["routes"]:
        if route["name"] in {"job", "job-result"}:
            route["limits"] = [{"name": "jobs", "rate": "120/minute"}]

    assert read_policy(yaml.safe_dump(policy)) == load_policy(POLICY, {})


@given(
    requests=st.integers(1, MAX_REQUESTS),
    window=st.sampled_from([1, 60, 3600]) | st.integers(1, MAX_WINDOW_S),
    name=st.none() | st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True) | st.just("no"),
)
@example(requests=MAX_REQUESTS, window=MAX_WINDOW_S, name="null")
def test_any_mark_means_the_same_to_the_sidecar(
    requests: int, window: int, name: str | None
) -> None:
    """Whatever the service takes as a limit, a policy takes as that limit."""

    @rate_limit(requests=requests, window=window, name=name)
    async def handler(_routes: Routes, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    text = policy_fragment([Endpoint("things", "GET", "/v1/things", handler)])
    main_file = parse(MINIMAL, file="policy.yaml", environment={})
    fragment = parse(text, file="fragment.yaml", environment={})
    (route,) = compile_policy(Merged(main_file, [fragment])).routes

    assert route.limits == (Rate(name=name or "things", limit=requests, window_ms=window * 1000),)
