"""Which route a request belongs to."""

import pytest

from authz_service.core.match import RouteMatcher, covers, template_pattern
from authz_service.testing.builders import facts, policy, route

MATCHER = RouteMatcher(
    policy(
        [
            route("exact", methods=("GET", "POST"), paths=("/v1/things", "/v1/more")),
            route("thing", paths=("/v1/things/{thing_id}",)),
            route("parts", paths=("/v1/things/{thing_id}/parts/{part}",)),
            route("dots", paths=("/v1/a.b+c", "/")),
            route("wide", paths=("/v1/{kind}",)),
        ]
    )
)


def found(method: str, path: str, hint: str = "") -> str | None:
    """The name of the route that was found."""
    route = MATCHER.find(facts(method=method, path=path, route_hint=hint))
    return route.name if route else None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/things", "exact"),
        ("POST", "/v1/more", "exact"),
        ("GET", "/v1/things/7", "thing"),
        ("GET", "/v1/things/a%2Fb", "thing"),
        ("GET", "/v1/things/7/parts/8", "parts"),
        ("GET", "/v1/a.b+c", "dots"),
        ("GET", "/", "dots"),
        ("GET", "/v1/other", "wide"),
    ],
)
def test_method_and_path_find_the_first_route_that_matches(
    method: str, path: str, name: str
) -> None:
    """The first route in the policy's order that has the method and the path decides."""
    assert found(method, path) == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/things"),
        ("get", "/v1/things"),
        ("", "/v1/things"),
        ("GET", ""),
        ("GET", "v1/things"),
        ("GET", "/V1/things"),
        ("GET", "/v1/things/"),
        ("GET", "//v1/things"),
        ("GET", "/\n"),
        ("GET", "/v1/things/7/"),
        ("GET", "/v1/things/7/parts/"),
        ("GET", "/v1/things/7/parts/8/9"),
        ("GET", "/v1/"),
        ("GET", "/v2/things"),
        ("POST", "/v1/aXb+c"),
    ],
)
def test_what_no_route_describes_has_no_route(method: str, path: str) -> None:
    """Paths are compared whole and exactly: nothing is normalised here."""
    assert found(method, path) is None


@pytest.mark.parametrize(
    "segment",
    [
        *("..", ".", "%2e%2E", ".%2e", "..%2Fadmin", "a%2f..", "a%5C..%5cadmin", "..\\admin"),
        *("..;", "..;a=1", ".%3B", "..;%2Fadmin"),
    ],
)
def test_a_dot_segment_has_no_route(segment: str) -> None:
    """The application could resolve it to another path: no placeholder stands for it."""
    assert found("GET", f"/v1/things/{segment}") is None


@pytest.mark.parametrize(
    "segment", ["...", "..a", "a..", "%2e%2e%2e", ".well-known", "a%2Fb", "a..;b"]
)
def test_dots_in_a_name_are_a_name(segment: str) -> None:
    """Only one or two dots alone are a dot segment."""
    assert found("GET", f"/v1/things/{segment}") == "thing"


def test_envoys_route_name_decides() -> None:
    """The route that Envoy matched is the route, whatever our own matching would say."""
    assert found("DELETE", "/elsewhere", hint="thing") == "thing"


@pytest.mark.parametrize("hint", ["unknown", "", "Thing", "thing "])
def test_an_unknown_route_name_falls_back_to_matching(hint: str) -> None:
    """A name this policy does not know counts for nothing: method and path decide."""
    assert found("GET", "/v1/things", hint=hint) == "exact"
    assert found("GET", "/nowhere", hint=hint) is None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/v1/things", "/v1/things"),
        ("/v1/{id}", "/v1/[^/]+"),
        ("/a.b/{id}/c+d", r"/a\.b/[^/]+/c\+d"),
    ],
)
def test_a_template_becomes_a_pattern_for_whole_segments(path: str, pattern: str) -> None:
    """Text is literal and a placeholder is one segment that is not empty."""
    assert template_pattern(path) == pattern


@pytest.mark.parametrize(
    ("general", "special", "expected"),
    [
        ("/a", "/a", True),
        ("/{x}", "/a", True),
        ("/{x}", "/{y}", True),
        ("/{x}/b", "/a/b", True),
        ("/a", "/{x}", False),
        ("/{x}", "/a/b", False),
        ("/{x}/b", "/a/{y}", False),
        ("/a/b", "/a/c", False),
    ],
)
def test_one_path_covers_another(general: str, special: str, *, expected: bool) -> None:
    """A path covers another if every request of the other is one of its own."""
    assert covers(general, special) is expected
