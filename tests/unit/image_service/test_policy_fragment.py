from collections.abc import Callable
from typing import Any

import pytest
import yaml
from aiohttp import web

from image_service.errors import ConfigurationError
from image_service.http import Endpoint, Routes
from image_service.limits import rate_limit
from image_service.policy_fragment import policy_fragment


def endpoint(
    route: str, *marks: Callable[[Any], Any], method: str = "GET", path: str = "/x"
) -> Endpoint:
    """What a handler with these marks answers."""

    async def handler(_routes: Routes, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    for mark in marks:
        handler = mark(handler)
    return Endpoint(route, method, path, handler)


def test_limits_stand_under_the_routes_of_their_handlers() -> None:
    """In the order of the table, under their own name or that of the route; the others nowhere."""
    text = policy_fragment(
        [
            endpoint("upscale", rate_limit(requests=5, window=60)),
            endpoint("limits"),
            endpoint(
                "job",
                rate_limit(requests=2, window=1, name="burst"),
                rate_limit(requests=9, window=10, name="jobs"),
            ),
        ]
    )
    head, _, body = text.partition("limits:\n")
    assert body == (
        "  upscale:\n"
        "  - {name: upscale, rate: 5/minute}\n"
        "  job:\n"
        "  - {name: jobs, rate: 9 per 10s}\n"
        "  - {name: burst, rate: 2/second}\n"
    )
    assert all(line.startswith("# ") for line in head.splitlines())
    assert "`image_service policy-fragment`" in head


@pytest.mark.parametrize(
    ("window", "rate"),
    [
        (1, "7/second"),
        (60, "7/minute"),
        (3600, "7/hour"),
        (59, "7 per 59s"),
        (86_400, "7 per 86400s"),
    ],
)
def test_a_window_is_written_as_people_say_it(window: int, rate: str) -> None:
    """By the unit where it is one, in seconds otherwise."""
    text = policy_fragment([endpoint("job", rate_limit(requests=7, window=window))])
    assert f"rate: {rate}}}" in text


def test_names_that_yaml_would_read_as_something_else_are_quoted() -> None:
    """`no` stays a name."""
    text = policy_fragment([endpoint("no", rate_limit(requests=1, window=60, name="on"))])
    assert yaml.safe_load(text) == {"limits": {"no": [{"name": "on", "rate": "1/minute"}]}}


def test_no_marks_are_a_fragment_too() -> None:
    """So that the last mark can be taken away."""
    assert yaml.safe_load(policy_fragment([endpoint("job")])) == {"limits": {}}


def test_handlers_of_one_route_are_marked_alike() -> None:
    """The sidecar limits whole routes: a mark on one method of two would limit both."""
    jobs = rate_limit(requests=5, window=60, name="jobs")
    with pytest.raises(ConfigurationError) as caught:
        policy_fragment(
            [
                endpoint("job", jobs),
                endpoint("job", method="DELETE"),
                endpoint("job", jobs, path="/y"),
                endpoint("upscale"),
                endpoint("upscale", jobs, method="PUT"),
            ]
        )
    why = "has other limits than the rest of route"
    so = "and the sidecar limits a route as a whole"
    assert caught.value.problems == (
        f"DELETE /x: {why} 'job', {so}",
        f"PUT /x: {why} 'upscale', {so}",
    )
