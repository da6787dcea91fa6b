"""Which limit a descriptor falls under: worked examples."""

from dataclasses import replace

import pytest

from authz_service.core.descriptors import (
    Algorithm,
    DescriptorLimit,
    Entry,
    Override,
    RateLimitRequest,
    Resolved,
    Unit,
)
from authz_service.core.resolve import Resolution, Unanswerable, resolve
from authz_service.testing.descriptors import asking, descriptor, read_descriptors

RULES = read_descriptors(
    """
    domain: shop
    descriptors:
      - {key: user, rate_limit: {unit: minute, requests_per_unit: 1}}
      - {key: user, value: ann, rate_limit: {unit: minute, requests_per_unit: 2}}
      - {key: user, value: bot-*, rate_limit: {unit: minute, requests_per_unit: 3}}
      - {key: user, value: bot-b*, rate_limit: {unit: minute, requests_per_unit: 4}}
      - {key: user, value: free}
      - key: user
        value: deep
        descriptors:
          - {key: path, value: /a, rate_limit: {unit: minute, requests_per_unit: 5}}
      - key: plan
        rate_limit: {unit: minute, requests_per_unit: 6}
        descriptors:
          - {key: path, rate_limit: {unit: minute, requests_per_unit: 7}}
      - {key: foo, value: "*", rate_limit: {unit: minute, requests_per_unit: 8}}
      - {key: ban, rate_limit: {unit: minute}}
      - {key: staff, rate_limit: {unlimited: true}}
    """
)


def resolved(*entries: tuple[str, str]) -> Resolved:
    """What one descriptor comes to."""
    found = resolve(RULES, asking(descriptor(*entries)))
    assert isinstance(found, Resolution)
    assert found.is_domain_known
    (only,) = found.resolved
    return only


@pytest.mark.parametrize(
    ("entries", "requests"),
    [
        ([("user", "bob")], 1),
        ([("user", "")], 1),
        ([("user", "ann")], 2),
        ([("user", "Ann")], 1),
        ([("User", "ann")], None),
        ([("user", "bot-")], 3),
        ([("user", "bot-b1")], 3),  # the first pattern of the file, not the closest
        ([("user", "bot-b*")], 4),  # spelled out, it is its own exact match
        ([("user", "free")], None),  # a value of its own without a limit
        ([("user", "deep")], None),  # shallower than the limit
        ([("user", "deep"), ("path", "/a")], 5),
        ([("user", "deep"), ("path", "/b")], None),  # and the other users' limit is not tried
        ([("user", "bob"), ("path", "/a")], None),  # deeper than the limit
        ([("plan", "x")], 6),
        ([("plan", "x"), ("path", "/a")], 7),
        ([("path", "/a"), ("plan", "x")], None),
        ([("foo", "anything")], 8),
        ([("foo_bar", "anything")], 8),  # patterns see key and value as one text
        ([("user_ann", "")], 2),  # as it sees those of a value
        ([("user_ann", "x")], 2),
        ([("ban", "x")], 0),
        ([], None),
        ([("", "")], None),
        ([("unknown", "x")], None),
    ],
)
def test_the_limit_of_a_descriptor(entries: list[tuple[str, str]], requests: int | None) -> None:
    """The last entry's node has it, or nothing limits."""
    limit = resolved(*entries).limit
    assert (limit.requests_per_unit if limit else None) == requests


def test_every_value_counts_by_itself() -> None:
    """Whether it was named, met a pattern or fell under the rule for all."""
    for value in ("bob", "ann", "bot-1"):
        assert resolved(("user", value)).counted_as == (Entry("user", value),)
    nested = resolved(("plan", "x"), ("path", "/a"))
    assert nested.counted_as == (Entry("plan", "x"), Entry("path", "/a"))


def test_without_a_limit_nothing_is_counted_or_measured() -> None:
    """There is nothing to name."""
    assert resolved(("unknown", "x")) == Resolved(limit=None)


def test_an_unlimited_descriptor_has_a_limit_without_a_unit() -> None:
    """So that it can be told apart from one that has no limit at all."""
    limit = resolved(("staff", "x")).limit
    assert limit
    assert limit.unit is None
    assert limit.window_s == 0


SHARED = read_descriptors(
    """
    domain: shop
    descriptors:
      - key: path
        value: /files/*
        share_threshold: true
        rate_limit: {unit: minute, requests_per_unit: 1}
        descriptors:
          - key: user
            rate_limit: {unit: minute, requests_per_unit: 2}
          - key: user
            value: a*b
            share_threshold: true
            rate_limit: {unit: minute, requests_per_unit: 3}
          - key: zone
            value: "*"
            share_threshold: true
            descriptors:
              - {key: user, rate_limit: {unit: minute, requests_per_unit: 4}}
      - {key: path, value: /open/*, rate_limit: {unit: minute, requests_per_unit: 5}}
    """
)
FILES = Entry("path", "path_/files/*", is_pattern=True)


@pytest.mark.parametrize(
    ("entries", "counted_as"),
    [
        ([("path", "/files/a")], (FILES,)),
        ([("path", "/files/*")], (FILES,)),
        ([("path", "/files/a"), ("user", "x")], (FILES, Entry("user", "x"))),
        (
            [("path", "/files/a"), ("user", "axb")],
            (FILES, Entry("user", "user_a*b", is_pattern=True)),
        ),
        (
            [("path", "/files/a"), ("zone", "z"), ("user", "x")],
            (FILES, Entry("zone", "zone_*", is_pattern=True), Entry("user", "x")),
        ),
        ([("path", "/open/a")], (Entry("path", "/open/a"),)),
    ],
)
def test_values_share_a_counter_where_a_pattern_says_so(
    entries: list[tuple[str, str]], counted_as: tuple[Entry, ...]
) -> None:
    """Level by level; the limit may stand further in than the pattern."""
    found = resolve(SHARED, asking(descriptor(*entries)))
    assert isinstance(found, Resolution)
    assert found.resolved[0].counted_as == counted_as


MEASURED = read_descriptors(
    """
    domain: shop
    descriptors:
      - key: all
        rate_limit: {unit: day}
      - {key: all, value: one, rate_limit: {unit: day}}
      - {key: all, value: p*, rate_limit: {unit: day}}
      - {key: all, value: "v*", value_to_metric: true, rate_limit: {unit: day}}
      - {key: all, value: "s*", value_to_metric: true, share_threshold: true, rate_limit: {unit: day}}
      - key: told
        value_to_metric: true
        rate_limit: {unit: day}
        descriptors:
          - {key: inner, rate_limit: {unit: day}}
          - {key: detailed, detailed_metric: true, rate_limit: {unit: day}}
      - key: shared
        value: s*
        share_threshold: true
        descriptors:
          - {key: detailed, detailed_metric: true, value_to_metric: true, rate_limit: {unit: day}}
    """  # noqa: E501 - a line a descriptor
)


@pytest.mark.parametrize(
    ("entries", "levels"),
    [
        ([("all", "x")], ("all",)),
        ([("all", "one")], ("all_one",)),
        ([("all", "pq")], ("all_p*",)),
        ([("all", "vw")], ("all_vw",)),
        ([("all", "st")], ("all_s*",)),
        ([("told", "x")], ("told_x",)),
        ([("told", "")], ("told",)),
        ([("told", "x"), ("inner", "y")], ("told_x", "inner")),
        ([("told", "x"), ("detailed", "y")], ("told_x", "detailed_y")),
        ([("told", ""), ("detailed", "")], ("told_", "detailed_")),
        ([("shared", "st"), ("detailed", "y")], ("shared_s*", "detailed_y")),
        ([("shared", "st"), ("detailed", "")], ("shared_s*", "detailed")),
    ],
)
def test_what_a_rule_is_called_in_metrics(
    entries: list[tuple[str, str]], levels: tuple[str, ...]
) -> None:
    """As its file names it, with values where the file asks for them, never shared ones."""
    found = resolve(MEASURED, asking(descriptor(*entries)))
    assert isinstance(found, Resolution)
    assert found.resolved[0].measured_as == levels


TEN_A_DAY = Override(requests_per_unit=10, unit=Unit.DAY)


def test_an_override_is_the_limit() -> None:
    """Whatever the files say of its entries, and if they say nothing."""
    for entries in ([("user", "ann")], [("user", "free")], [("unknown", ""), ("b", "c")]):
        found = resolve(RULES, asking(descriptor(*entries, override=TEN_A_DAY)))
        assert isinstance(found, Resolution)
        assert found.resolved == (
            Resolved(
                limit=DescriptorLimit(requests_per_unit=10, unit=Unit.DAY),
                counted_as=tuple(Entry(*it) for it in entries),
                measured_as=tuple(f"{key}_{value}" if value else key for key, value in entries),
            ),
        )


def test_an_override_never_counts_under_a_pattern() -> None:
    """Its value is a value, even where it reads as the pattern that values share."""
    shared = resolve(SHARED, asking(descriptor(("path", "/files/*"))))
    own = resolve(SHARED, asking(descriptor(("path", "/files/*"), override=TEN_A_DAY)))
    assert isinstance(shared, Resolution)
    assert isinstance(own, Resolution)
    assert shared.resolved[0].counted_as != own.resolved[0].counted_as


def test_an_override_counts_as_its_domain_does() -> None:
    """So that it shares a counter with a limit of the files that has the same window."""
    rules = read_descriptors("domain: shop\nalgorithm: fixed\n")
    found = resolve(rules, asking(descriptor(("a", "b"), override=TEN_A_DAY)))
    assert isinstance(found, Resolution)
    limit = found.resolved[0].limit
    assert limit
    assert limit.algorithm is Algorithm.FIXED


REPLACING = read_descriptors(
    """
    domain: shop
    descriptors:
      - {key: any, rate_limit: {unit: day, requests_per_unit: 1, name: any}}
      - {key: other, rate_limit: {unit: day, requests_per_unit: 2, name: other}}
      - {key: unnamed, rate_limit: {unit: day, requests_per_unit: 3}}
      - {key: vip, rate_limit: {unit: day, requests_per_unit: 4, replaces: [{name: any}]}}
      - {key: staff, rate_limit: {unlimited: true, name: staff, replaces: [{name: other}]}}
      - {key: rival, rate_limit: {unit: day, name: rival, replaces: [{name: staff}]}}
    """
)


@pytest.mark.parametrize(
    ("keys", "limited"),
    [
        (["any", "vip"], ["vip"]),
        (["vip", "any"], ["vip"]),
        (["any", "other", "unnamed", "vip"], ["other", "unnamed", "vip"]),
        (["other", "staff"], ["staff"]),
        (["any", "other"], ["any", "other"]),
        (["staff", "rival"], ["staff", "rival"]),  # what is unlimited stays so
    ],
)
def test_a_limit_takes_the_place_of_others(keys: list[str], limited: list[str]) -> None:
    """Those it names are dropped from the request, in whichever order they stand."""
    found = resolve(REPLACING, asking(*(descriptor((key, "x")) for key in keys)))
    assert isinstance(found, Resolution)
    assert [key for key, it in zip(keys, found.resolved, strict=True) if it.limit] == limited
    assert all(not it.counted_as and not it.measured_as for it in found.resolved if not it.limit)


@pytest.mark.parametrize(
    ("of_request", "of_descriptor", "hits"), [(0, None, 1), (5, None, 5), (5, 2, 2), (5, 0, 0)]
)
def test_how_many_hits_a_descriptor_takes(
    of_request: int, of_descriptor: int | None, hits: int
) -> None:
    """Its own number, even 0; else the request's, of which 0 is 1."""
    request = asking(descriptor(("user", "x"), hits=of_descriptor), hits=of_request)
    found = resolve(RULES, request)
    assert isinstance(found, Resolution)
    assert found.resolved[0].hits == hits


UNKNOWN_UNIT = Override(requests_per_unit=1, unit=None)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asking(descriptor(("a", "b")), domain=""), Unanswerable.NO_DOMAIN),
        (asking(), Unanswerable.NO_DESCRIPTORS),
        (asking(descriptor(("a", "b"), override=UNKNOWN_UNIT)), Unanswerable.UNKNOWN_UNIT),
    ],
)
def test_what_cannot_be_answered(request_: RateLimitRequest, why: Unanswerable) -> None:
    """A request must name a domain and something to count, and units that are known."""
    assert resolve(RULES, request_) is why


def test_without_rules_there_is_no_answer() -> None:
    """Which is something else than rules that limit nothing."""
    assert resolve(None, asking(descriptor(("a", "b")))) is Unanswerable.NO_RULES


def test_an_unknown_domain_limits_nothing() -> None:
    """Not even by what a request brings along."""
    request = asking(
        descriptor(("user", "ann"), override=UNKNOWN_UNIT), descriptor(("b", "")), hits=3
    )
    found = resolve(RULES, replace(request, domain="unknown"))
    assert found == Resolution(is_domain_known=False, resolved=(Resolved(limit=None, hits=3),) * 2)
