"""Matching agrees with a second, naive reading of the files, and no two counters are one."""

import re
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.core.counter_key import counter_key
from authz_service.core.descriptor_hits import hits_of
from authz_service.core.descriptors import (
    Algorithm,
    DescriptorLimit,
    Entry,
    Override,
    Resolved,
    Unit,
)
from authz_service.core.resolve import Resolution, resolve
from authz_service.core.wildcard import wildcard
from authz_service.testing.descriptors import asking, descriptor, read_descriptors

Node = dict[str, Any]
KEYS = st.sampled_from(["a", "b", "a_b", "a*", "*"])
VALUES = st.sampled_from(["", "a", "b", "b_a", "*", "a*", "*a", "a*b", "a_*"])
ENTRIES = st.tuples(KEYS | st.just("a_"), VALUES | st.sampled_from(["ab", "aab", "aXb", "b_"]))


def name_of(node: Node) -> str:
    """The composite key of a node."""
    return f"{node['key']}_{node['value']}" if node["value"] else str(node["key"])


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> list[Node]:
    """Descriptors without two of one name; each limit has a number of its own."""
    nodes: list[Node] = []
    for key, value in draw(st.lists(st.tuples(KEYS, VALUES), max_size=4, unique_by=str)):
        node: Node = {"key": key, "value": value}
        if name_of(node) in map(name_of, nodes):
            continue
        if draw(st.booleans()):
            number = draw(st.integers(1, 2**32 - 1))
            node["rate_limit"] = {"unit": "minute", "requests_per_unit": number}
        node["share_threshold"] = "*" in name_of(node) and draw(st.booleans())
        node["descriptors"] = draw(trees(depth - 1)) if depth > 1 else []
        nodes.append(node)
    return nodes


def found_naively(nodes: list[Node], entries: list[tuple[str, str]]) -> list[Node]:
    """The nodes that entries lead to, by comparing every node in turn."""
    if not entries:
        return []
    (key, value), *rest = entries
    whole = f"{key}_{value}"
    stars = [it for it in nodes if "*" in name_of(it)]
    candidates = [
        *(it for it in nodes if name_of(it) == whole),
        *(
            it
            for it in stars
            if re.fullmatch(".*".join(map(re.escape, name_of(it).split("*"))), whole, re.DOTALL)
        ),
        *(it for it in nodes if name_of(it) == key),
    ]
    if not candidates:
        return []
    inner = found_naively(candidates[0]["descriptors"], rest)
    return [candidates[0], *inner] if len(inner) == len(rest) else []


@given(trees(), st.lists(ENTRIES, max_size=4))
def test_matching_is_what_a_naive_reader_finds(
    nodes: list[Node], entries: list[tuple[str, str]]
) -> None:
    """The limit, and which entries count under a pattern."""
    rules = read_descriptors(yaml.safe_dump({"domain": "shop", "descriptors": nodes}))
    result = resolve(rules, asking(descriptor(*entries)))
    path = found_naively(nodes, entries)
    said = path[-1].get("rate_limit") if path else None

    assert isinstance(result, Resolution)
    (resolved,) = result.resolved
    assert (resolved.limit.requests_per_unit if resolved.limit else None) == (
        said["requests_per_unit"] if said else None
    )
    counted = [
        Entry(key, name_of(node), is_pattern=True) if node["share_threshold"] else Entry(key, value)
        for (key, value), node in zip(entries, path, strict=bool(path))
    ]
    assert list(resolved.counted_as) == (counted if said else [])


PATTERN_TEXT = st.text(alphabet="ab*", max_size=8)


@given(PATTERN_TEXT.filter(lambda text: "*" in text), st.text(alphabet="ab", max_size=6))
@example("a*b*b", "ab")
def test_a_pattern_matches_as_a_regular_expression_would(pattern: str, text: str) -> None:
    """With `.*` for every star and everything else as it is."""
    found = wildcard(pattern)
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL)
    assert found
    assert found.matches(text) is (expected is not None)


NAMES = st.text(alphabet="a,=*:}\n%\u00e9", min_size=1, max_size=3)
WINDOWS = st.tuples(
    st.sampled_from([Unit.SECOND, Unit.MINUTE, Unit.HOUR]),
    st.sampled_from([1, 60]),
    st.sampled_from(Algorithm),
)


@st.composite
def named(draw: st.DrawFn, text: str) -> tuple[str, tuple[Entry, ...]]:
    """A text cut into a domain and one or two keys with their values."""
    count = draw(st.integers(1, 2))
    size = 2 * count
    cuts = draw(st.lists(st.integers(0, len(text)), min_size=size, max_size=size).map(sorted))
    domain, *parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return domain, tuple(Entry(key, value, draw(st.booleans())) for key, value in pairs)


Counter = tuple[str, tuple[Entry, ...], Unit, int, Algorithm]


def key_of(counter: Counter) -> bytes:
    """Its name in the store."""
    domain, entries, unit, multiplier, algorithm = counter
    limit = DescriptorLimit(unit=unit, multiplier=multiplier, algorithm=algorithm)
    resolved = Resolved(limit=limit, counted_as=entries)
    (hit,) = hits_of(domain, [resolved], all_quota=False)
    assert hit is not None
    return counter_key(hit.subject, hit.limit)


@given(st.data())
def test_different_counters_have_different_keys(data: st.DataObject) -> None:
    """However one text is cut into names; and their hash tag is whole."""
    text = data.draw(NAMES)
    window = data.draw(WINDOWS)
    one = (*data.draw(named(text)), *window)
    other = (*data.draw(named(text)), *data.draw(st.just(window) | WINDOWS))
    same = (one[:2], one[4], one[2].seconds * one[3]) == (
        other[:2],
        other[4],
        other[2].seconds * other[3],
    )
    assert (key_of(one) == key_of(other)) is same
    assert key_of(one).count(b"}") == 1


@given(
    trees(),
    st.lists(ENTRIES, min_size=1, max_size=2),
    st.lists(ENTRIES, min_size=1, max_size=2),
    st.booleans(),
)
def test_requests_share_a_counter_only_through_a_pattern(
    nodes: list[Node],
    one: list[tuple[str, str]],
    other: list[tuple[str, str]],
    by_override: bool,  # noqa: FBT001 - drawn
) -> None:
    """Two that differ, or of which one brings its own limit, meet only at a shared node."""
    rules = read_descriptors(yaml.safe_dump({"domain": "shop", "descriptors": nodes}))
    override = Override(requests_per_unit=1, unit=Unit.MINUTE) if by_override else None
    result = resolve(rules, asking(descriptor(*one), descriptor(*other, override=override)))
    assert isinstance(result, Resolution)
    first, second = result.resolved
    if first.limit is None or second.limit is None or one == other:
        return
    hits = hits_of("shop", [first, second], all_quota=False)
    keys = [counter_key(hit.subject, hit.limit) for hit in hits if hit]
    if keys[0] == keys[1]:
        assert not by_override
        assert found_naively(nodes, one) == found_naively(nodes, other)
        assert any(it.is_pattern for it in first.counted_as)
