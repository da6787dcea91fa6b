"""What the counts of a request's descriptors come to: statuses, verdict, headers, metadata."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from authz_service.core.descriptors import (
    UNLIMITED_REMAINING,
    Descriptor,
    Override,
    RateLimitRequest,
    RateLimitResponse,
    Resolved,
    Status,
)
from authz_service.core.hits import Count
from authz_service.core.limit_headers import seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderNames:
    """What the three response headers are called."""

    limit: str = "RateLimit-Limit"
    remaining: str = "RateLimit-Remaining"
    reset: str = "RateLimit-Reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """What holds for every answer. Without `header_names` there are no headers.

    `shadow` lets everything pass, `quota` takes every descriptor for one with quota mode.
    """

    shadow: bool = False
    quota: bool = False
    header_names: HeaderNames | None = None
    metadata: bool = False


@dataclass(frozen=True, slots=True)
class _Judged:
    """One descriptor with all that is known of it."""

    resolved: Resolved
    count: Count | None
    status: Status
    is_quota: bool


def answer(
    request: RateLimitRequest,
    resolved: Sequence[Resolved],
    counts: Sequence[Count | None],
    options: AnswerOptions,
) -> RateLimitResponse:
    """Answer a request. What has no limit, or is unlimited, has no count either."""
    judged = [_judge(it, count, options) for it, count in zip(resolved, counts, strict=True)]
    over = _is_over(judged)
    passes_in_shadow = over and options.shadow
    names = options.header_names
    return RateLimitResponse(
        over=over and not options.shadow,
        statuses=tuple(it.status for it in judged),
        headers=_headers(judged, names) if names else (),
        metadata=_metadata(request, judged) if options.metadata else None,
        retry_after_ms=_wait_ms(judged) if over and not options.shadow else 0,
        in_shadow=passes_in_shadow,
    )


def _judge(resolved: Resolved, count: Count | None, options: AnswerOptions) -> _Judged:
    limit = resolved.limit
    if limit and limit.unit is None:
        # It never runs out, so it says nothing about quotas.
        return _Judged(resolved, None, Status(remaining=UNLIMITED_REMAINING), is_quota=False)
    is_quota = options.quota or (limit is not None and limit.quota)
    if limit is None or count is None:
        return _Judged(resolved, None, Status(), is_quota=is_quota)
    status = Status(
        over=count.over and not limit.shadow,
        limit=limit,
        remaining=count.remaining,
        reset_ms=count.reset_ms,
    )
    return _Judged(resolved, count, status, is_quota=is_quota)


def _is_over(judged: Iterable[_Judged]) -> bool:
    """Any descriptor refuses, but those with quota mode only all together."""
    quotas = [it.status.over for it in judged if it.is_quota]
    return any(it.status.over for it in judged if not it.is_quota) or (bool(quotas) and all(quotas))


def _wait_ms(judged: Iterable[_Judged]) -> int:
    """Until nothing refuses: every limit, and one of those with quota mode, has room again."""
    over = [(it.is_quota, it.count.retry_after_ms) for it in judged if it.status.over and it.count]
    waits = [wait for is_quota, wait in over if not is_quota]
    if all(it.status.over for it in judged if it.is_quota):
        waits += sorted(wait for is_quota, wait in over if is_quota)[:1]
    return max(waits)


def _headers(judged: Iterable[_Judged], names: HeaderNames) -> tuple[tuple[str, str], ...]:
    """One limit speaks: the last that refuses, else the first of those with the fewest left."""
    limited = [it for it in judged if it.status.limit]
    if not limited:
        return ()
    refusing = [it for it in limited if it.status.over and not it.is_quota]
    speaks = (refusing[-1] if refusing else min(limited, key=lambda it: it.status.remaining)).status
    limit = speaks.limit.requests_per_unit if speaks.limit else 0
    return (
        (names.limit, str(limit)),
        (names.remaining, str(speaks.remaining)),
        (names.reset, str(seconds(speaks.reset_ms or 0))),
    )


def _metadata(request: RateLimitRequest, judged: Iterable[_Judged]) -> Mapping[str, object]:
    """The request as it was understood, and what the files say of the limits that have room."""
    told: dict[str, object] = {
        "domain": request.domain,
        "descriptors": [_described(it) for it in request.descriptors],
    }
    if request.hits_addend:
        told["hitsAddend"] = request.hits_addend
    merged: Mapping[str, object] = {}
    for it in judged:
        if it.status.limit and not it.status.over:
            merged = _merged(merged, it.status.limit.metadata)
    return {**told, "metadata": merged} if merged else told


def _described(descriptor: Descriptor) -> dict[str, object]:
    told: dict[str, object] = {"entries": [f"{it.key}={it.value}" for it in descriptor.entries]}
    if descriptor.override:
        told["limit"] = _override_text(descriptor.override)
    if descriptor.hits_addend is not None:
        told["hitsAddend"] = descriptor.hits_addend
    return told


def _override_text(override: Override) -> str:
    """The message as protobuf prints it: without what is zero."""
    requests = override.requests_per_unit
    parts = [
        f"requests_per_unit:{requests}" if requests else "",
        f"unit:{override.unit.name}" if override.unit else "",
    ]
    return " ".join(filter(None, parts))


def _merged(first: Mapping[str, object], second: Mapping[str, object]) -> Mapping[str, object]:
    """Both, maps inside maps too. Where both say something else, the first is right."""
    merged = {**second, **first}
    for key in first.keys() & second.keys():
        one, other = first[key], second[key]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            merged[key] = _merged(one, other)
    return merged
