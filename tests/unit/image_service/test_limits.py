from typing import Any, assert_type

import pytest
from aiohttp import web

from image_service.limits import MAX_REQUESTS, MAX_WINDOW_S, RateLimit, limits_of, rate_limit


async def handler(_request: web.Request) -> web.Response:
    """A handler that nobody has marked."""
    return web.Response()


def test_a_mark_is_a_note_and_nothing_else() -> None:
    """The handler stays the very function it was, for people and for types."""

    def plain(number: int) -> str:
        return str(number)

    marked = rate_limit(requests=5, window=60)(plain)
    assert assert_type(marked(7), str) == "7"
    assert marked is plain
    assert limits_of(plain) == (RateLimit(5, 60),)


def test_a_handler_without_a_mark_has_no_limits() -> None:
    """Nothing is assumed of who says nothing."""
    assert limits_of(handler) == ()


def test_marks_of_a_method_are_found_on_the_class_and_on_an_instance() -> None:
    """Routes are methods."""

    class Routes:
        @rate_limit(requests=5, window=60)
        async def answer(self, _request: web.Request) -> web.Response:
            return web.Response()

    assert limits_of(Routes.answer) == limits_of(Routes().answer) == (RateLimit(5, 60),)


def test_several_marks_are_read_from_the_top() -> None:
    """As they stand above the handler."""

    @rate_limit(requests=2, window=1, name="burst")
    @rate_limit(requests=60, window=3600, name="hourly")
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    assert limits_of(answer) == (RateLimit(2, 1, "burst"), RateLimit(60, 3600, "hourly"))


@pytest.mark.parametrize("name", [None, "burst"])
def test_two_marks_of_one_name_are_refused(name: str | None) -> None:
    """One name is one counter; without a name both would have the route's."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    mark = rate_limit(requests=5, window=60, name=name)
    with pytest.raises(ValueError, match="must have different names"):
        mark(mark(answer))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"requests": 0}, "requests must be"),
        ({"requests": MAX_REQUESTS + 1}, "requests must be"),
        ({"requests": True}, "requests must be"),
        ({"requests": "5"}, "requests must be"),
        ({"window": 0}, "window must be"),
        ({"window": -60}, "window must be"),
        ({"window": MAX_WINDOW_S + 1}, "window must be"),
        ({"window": 0.5}, "window must be"),
        ({"window": None}, "window must be"),
        ({"name": ""}, "name must be"),
        ({"name": "Jobs"}, "name must be"),
        ({"name": "jobs\n"}, "name must be"),
        ({"name": "j" * 64}, "name must be"),
    ],
)
def test_what_no_policy_could_say_is_refused_where_it_stands(
    wrong: dict[str, Any], told: str
) -> None:
    """When the module is read, before there is a handler to mark."""
    with pytest.raises(ValueError, match=told):
        rate_limit(**({"requests": 5, "window": 60} | wrong))
