"""Which methods a path knows, over all routes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.match import template_pattern
from authz_service.core.rules import Policy
from authz_service.envoyconf.paths import allowed_methods, endpoint
from tests.unit.envoyconf.builders import default_policy, policy_with, route

_SEGMENTS = st.sampled_from(["a", "b", "{x}", "{other}"])
_TEMPLATES = st.lists(_SEGMENTS, min_size=1, max_size=3).map(lambda it: "/" + "/".join(it))
_METHODS = st.sampled_from(["GET", "POST", "DELETE"])
_POLICIES = st.lists(st.tuples(_METHODS, _TEMPLATES), min_size=1, max_size=5).map(
    lambda rows: policy_with(*(route(f"r{i}", (row[0],), row[1]) for i, row in enumerate(rows)))
)
_REQUESTS = st.lists(st.sampled_from(["a", "b", "z"]), min_size=1, max_size=3).map(
    lambda it: "/" + "/".join(it)
)


def _told(policy: Policy, path: str) -> tuple[str, ...]:
    """As Envoy reads it: the first pattern that matches."""
    return next(
        (
            methods
            for pattern, methods in allowed_methods(policy).items()
            if re.fullmatch(template_pattern(pattern), path)
        ),
        (),
    )


@given(policy=_POLICIES, path=_REQUESTS)
def test_a_path_is_told_exactly_its_methods(policy: Policy, path: str) -> None:
    """The union over all routes that serve it, however their templates overlap."""
    serving = {
        method
        for it in policy.routes
        if any(re.fullmatch(template_pattern(template), path) for template in it.paths)
        for method in it.methods
    }
    assert set(_told(policy, path)) == serving


def test_the_order_is_the_policys() -> None:
    """`Allow` reads as the policy does, each method once."""
    policy = policy_with(
        route("one", ("POST", "GET"), "/a/{x}"), route("two", ("GET", "DELETE"), "/a/{y}")
    )
    assert allowed_methods(policy) == {"/a/{any}": ("POST", "GET", "DELETE")}


def test_an_empty_segment_matches_no_placeholder() -> None:
    """`/docs/` is not one of `/docs/{asset}`."""
    policy = policy_with(route("one", ("GET",), "/d/{x}"), route("two", ("POST",), "/d/"))
    assert _told(policy, "/d/") == ("POST",)


def test_endpoints_are_spelled_as_in_the_policy() -> None:
    """A 405 is counted under the template that people know."""
    policy = default_policy()
    spelled = {endpoint(policy, pattern) for pattern in allowed_methods(policy)}
    assert spelled == {path for it in policy.routes for path in it.paths}
