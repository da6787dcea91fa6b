"""Matching agrees with itself: `covers` foretells what the matcher does."""

import re

from hypothesis import given
from hypothesis import strategies as st

from authz_service.core.match import RouteMatcher, covers, template_pattern
from authz_service.testing.builders import facts, policy, route

SEGMENTS = st.sampled_from(["a", "b", "a.b", "{x}", "{y}"])
TEMPLATES = st.lists(SEGMENTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
TEXTS = st.sampled_from(["a", "b", "a.b", "aXb", "c", "%2F", "\n", "é"])


def an_instance_of(template: str, data: st.DataObject) -> str:
    """A request path that belongs to `template`."""
    return re.sub(r"\{[a-z]\}", lambda _: data.draw(TEXTS), template)


@given(TEMPLATES, TEMPLATES, st.data())
def test_a_covering_path_matches_every_instance(
    general: str, special: str, data: st.DataObject
) -> None:
    """What belongs to the covered path belongs to the covering one; else one does not."""
    pattern = re.compile(template_pattern(general))
    if covers(general, special):
        assert pattern.fullmatch(an_instance_of(special, data))
    else:
        # A segment that no template spells out tells the two apart.
        assert not pattern.fullmatch(re.sub(r"\{[a-z]\}", "other", special))


@given(st.text(), st.text(), st.text())
def test_any_request_finds_a_route_or_none(method: str, path: str, hint: str) -> None:
    """Matching never fails: arbitrary text finds the route by its name or nothing."""
    matcher = RouteMatcher(policy([route("only", paths=("/v1/{id}",))]))
    found = matcher.find(facts(method=method, path=path, route_hint=hint))
    assert (found is not None) == (
        hint == "only" or (method == "GET" and re.fullmatch(r"/v1/[^/]+", path) is not None)
    )
