"""What the counts of descriptors come to."""

import pytest

from authz_service.core.descriptor_answer import AnswerOptions, HeaderNames, answer
from authz_service.core.descriptors import (
    UNLIMITED_REMAINING,
    DescriptorLimit,
    Entry,
    Override,
    RateLimitResponse,
    Resolved,
    Status,
    Unit,
)
from authz_service.core.hits import Count
from authz_service.testing.descriptors import asking, descriptor, limit_of

UNLIMITED = DescriptorLimit(unit=None)
PLAIN = AnswerOptions()
Told = tuple[DescriptorLimit | None, Count | None]


def room(remaining: int, reset_ms: int = 30_000) -> Count:
    """A call that fits."""
    return Count(
        over=False,
        remaining=remaining,
        reset_ms=reset_ms,
        retry_after_ms=0,
        used_before=0,
        counted=True,
    )


def full(wait_ms: int = 20_000) -> Count:
    """A call that does not fit."""
    return Count(
        over=True,
        remaining=0,
        reset_ms=20_000,
        retry_after_ms=wait_ms,
        used_before=0,
        counted=False,
    )


def answered(*told: Told, options: AnswerOptions = PLAIN) -> RateLimitResponse:
    """The answer to a request with these limits and counts."""
    request = asking(*(descriptor(("key", str(place))) for place in range(len(told))))
    resolved = [
        Resolved(limit=limit, counted_as=(Entry("key", str(place)),))
        for place, (limit, _) in enumerate(told)
    ]
    return answer(request, resolved, [count for _, count in told], options)


TEN, SHADOW, QUOTA = limit_of(10), limit_of(10, shadow=True), limit_of(10, quota=True)


def test_a_status_for_every_descriptor_in_its_order() -> None:
    """What has a limit tells it; what has none, or no end, has nothing to tell."""
    statuses = answered((TEN, room(4)), (None, None), (UNLIMITED, None), (TEN, full())).statuses
    assert statuses == (
        Status(limit=TEN, remaining=4, reset_ms=30_000),
        Status(),
        Status(remaining=UNLIMITED_REMAINING),
        Status(over=True, limit=TEN, remaining=0, reset_ms=20_000),
    )


def test_a_descriptor_in_shadow_is_never_over() -> None:
    """Its remainder says what would have been."""
    found = answered((SHADOW, full()))
    assert found.statuses == (Status(limit=SHADOW, remaining=0, reset_ms=20_000),)
    assert not found.over
    assert not found.in_shadow


NO_LIMIT: Told = (None, None)
ENDLESS: Told = (UNLIMITED, None)
OK: Told = (TEN, room(1))
OVER: Told = (TEN, full())
QUOTA_OK: Told = (QUOTA, room(1))
QUOTA_OVER: Told = (QUOTA, full())
SHADOW_OVER: Told = (SHADOW, full())


@pytest.mark.parametrize(
    ("told", "over", "over_with_quota"),
    [
        ([OK], False, False),
        ([OVER], True, True),
        ([OK, OVER], True, False),
        ([OVER, OVER], True, True),
        ([OK, NO_LIMIT], False, False),
        (
            [OVER, NO_LIMIT],
            True,
            False,
        ),  # nothing limits the second, so the quotas are not all over
        ([OVER, ENDLESS], True, True),  # what is unlimited has no say
        ([ENDLESS], False, False),
        ([NO_LIMIT], False, False),
        ([QUOTA_OVER], True, True),
        ([QUOTA_OVER, QUOTA_OK], False, False),
        ([QUOTA_OVER, QUOTA_OVER], True, True),
        ([QUOTA_OVER, OK], True, False),
        ([QUOTA_OVER, QUOTA_OK, OVER], True, False),
        ([QUOTA_OK, OK], False, False),
        ([SHADOW_OVER, OK], False, False),
        ([SHADOW_OVER, OVER], True, False),
    ],
)
def test_when_a_request_is_over(told: list[Told], *, over: bool, over_with_quota: bool) -> None:
    """One limit is enough, but for those with quota mode: they refuse only all together."""
    assert answered(*told).over is over
    assert answered(*told, options=AnswerOptions(quota=True)).over is over_with_quota


def test_in_quota_mode_statuses_still_tell() -> None:
    """A client may choose among what has room."""
    found = answered(QUOTA_OVER, QUOTA_OK)
    assert [it.over for it in found.statuses] == [True, False]


def test_in_shadow_mode_everything_passes() -> None:
    """The statuses tell what would have been, and so does the answer."""
    found = answered(OVER, options=AnswerOptions(shadow=True))
    assert (found.over, found.in_shadow, found.retry_after_ms) == (False, True, 0)
    assert found.statuses[0].over
    assert not answered(OK, options=AnswerOptions(shadow=True)).in_shadow


@pytest.mark.parametrize(
    ("told", "wait_ms"),
    [
        ([OK], 0),
        ([(TEN, full(5)), (TEN, full(7)), OK], 7),
        ([(QUOTA, full(5)), (QUOTA, full(7))], 5),
        ([(QUOTA, full(5)), (QUOTA, full(7)), (TEN, full(6))], 6),
        ([(QUOTA, full(9)), (QUOTA, room(1)), (TEN, full(6))], 6),
        ([(SHADOW, full(9)), (TEN, full(6))], 6),
    ],
)
def test_how_long_the_same_request_must_wait(told: list[Told], wait_ms: int) -> None:
    """Until every limit has room, and one of those with quota mode."""
    assert answered(*told).retry_after_ms == wait_ms


NAMED = AnswerOptions(header_names=HeaderNames())


@pytest.mark.parametrize(
    ("told", "spoken"),
    [
        ([(TEN, room(4)), (limit_of(20), room(3, 1_001))], ("20", "3", "2")),
        ([(TEN, room(3)), (limit_of(20), room(3))], ("10", "3", "30")),
        ([(TEN, room(0)), (limit_of(20), full())], ("20", "0", "20")),
        ([(limit_of(20), full()), (limit_of(30), full())], ("30", "0", "20")),
        ([(limit_of(20, quota=True), full()), (limit_of(30), room(0))], ("20", "0", "20")),
        ([(limit_of(30), room(0)), (limit_of(20, quota=True), full())], ("30", "0", "30")),
        ([NO_LIMIT, ENDLESS, (TEN, room(9))], ("10", "9", "30")),
    ],
)
def test_one_limit_speaks_in_the_headers(told: list[Told], spoken: tuple[str, str, str]) -> None:
    """The last that refuses; else the one with the fewest left, the first of equals."""
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
    assert answered(*told, options=NAMED).headers == tuple(zip(names, spoken, strict=True))


def test_headers_can_have_other_names() -> None:
    """In the same order."""
    names = HeaderNames(limit="x-limit", remaining="x-left", reset="x-reset")
    found = answered(OK, options=AnswerOptions(header_names=names)).headers
    assert found == (("x-limit", "10"), ("x-left", "1"), ("x-reset", "30"))


def test_without_a_limit_there_are_no_headers() -> None:
    """Nor where nobody asked for them."""
    assert answered(NO_LIMIT, ENDLESS, options=NAMED).headers == ()
    assert answered(OVER).headers == ()


def test_metadata_tell_the_request_and_what_has_room() -> None:
    """Maps are merged; where two limits differ, the first is right."""
    first = limit_of(1, metadata={"a": 1, "deep": {"x": 1}, "list": [1]})
    over = limit_of(1, metadata={"never": True})
    second = limit_of(1, metadata={"a": 2, "deep": {"x": 2, "y": 2}, "list": [2], "b": {"c": 1}})
    in_shadow = limit_of(1, shadow=True, metadata={"b": 7, "shadow": True})
    request = asking(
        descriptor(("k", "v"), ("k2", "")),
        descriptor(("o", "p"), override=Override(requests_per_unit=7, unit=Unit.HOUR), hits=0),
        descriptor(("q", "r"), override=Override(requests_per_unit=0, unit=Unit.DAY)),
        descriptor(("s", "t")),
        hits=3,
    )
    found = answer(
        request,
        [Resolved(limit=it) for it in (first, over, second, in_shadow)],
        [room(1), full(), room(1), full()],
        AnswerOptions(metadata=True),
    )
    assert found.metadata == {
        "domain": "shop",
        "descriptors": [
            {"entries": ["k=v", "k2="]},
            {"entries": ["o=p"], "limit": "requests_per_unit:7 unit:HOUR", "hitsAddend": 0},
            {"entries": ["q=r"], "limit": "unit:DAY"},
            {"entries": ["s=t"]},
        ],
        "hitsAddend": 3,
        "metadata": {
            "a": 1,
            "deep": {"x": 1, "y": 2},
            "list": [1],
            "b": {"c": 1},
            "shadow": True,
        },
    }


def test_metadata_leave_out_what_is_empty() -> None:
    """A request without hits of its own, and limits that say nothing."""
    found = answered(OK, NO_LIMIT, ENDLESS, options=AnswerOptions(metadata=True)).metadata
    assert found == {
        "domain": "shop",
        "descriptors": [{"entries": [f"key={place}"]} for place in range(3)],
    }
    assert answered(OK).metadata is None
