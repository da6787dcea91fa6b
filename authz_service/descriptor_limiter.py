"""Orchestrate `ShouldRateLimit` for descriptor files: resolve, count, answer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from authz_service.core.descriptor_answer import AnswerOptions, answer
from authz_service.core.descriptor_hits import hits_of
from authz_service.core.descriptor_metrics import (
    Increments,
    exact_increments,
    fixed_increments,
    measured_name,
)
from authz_service.core.descriptor_rules import DescriptorRules
from authz_service.core.descriptors import RateLimitRequest, RateLimitResponse, Resolved
from authz_service.core.hits import Count, Counted, Hit
from authz_service.core.resolve import Unanswerable, resolve
from authz_service.core.rules import StoreFailure
from authz_service.errors import UnanswerableError

Hitting = Callable[[str, str, Increments], None]
"""Told of each hit: the domain, the rule, and what to count."""


class Counter(Protocol):
    """Counts hits, and knows what to do when the store behind it fails."""

    async def hit(self, hits: tuple[Hit, ...], *, once: str | None) -> Counted:
        """Count the hits of one request as its limits say; under one `once`, count them once.

        Raises:
            StoreError: the store failed and one of the hits is to be denied then.
        """


class DescriptorLimiter:
    """Answers by the rules of descriptor files. Without rules there is no answer."""

    def __init__(
        self,
        rules: DescriptorRules | None,
        counter: Counter,
        *,
        options: AnswerOptions,
        near_ratio: float,
        told: Hitting,
        domain_unknown: Callable[[str], None],
    ) -> None:
        self._rules = rules
        self._counter = counter
        self._options = options
        self._near_ratio = near_ratio
        self._told = told
        self._domain_unknown = domain_unknown

    def use(self, rules: DescriptorRules | None) -> None:
        """Decide by these rules from the next question on."""
        self._rules = rules

    async def should_rate_limit(
        self,
        request: RateLimitRequest,
        *,
        request_id: str,  # noqa: ARG002 - for whoever logs; nothing here does
        once: str | None,
    ) -> RateLimitResponse:
        """Count every descriptor that has a limit, and say what that comes to.

        Raises:
            UnanswerableError: no rules, or the request cannot be looked up in them.
            StoreError: the store failed and one of the limits is to be denied then.
        """
        resolution = resolve(self._rules, request)
        if isinstance(resolution, Unanswerable):
            raise UnanswerableError(resolution.value)
        if not resolution.is_domain_known:
            self._domain_unknown(request.domain)
        resolved = resolution.resolved
        hits = hits_of(request.domain, resolved, all_quota=self._options.quota)
        counts = await self._counts(hits, once)
        for rule, hit, count in zip(resolved, hits, counts, strict=True):
            if hit and count:
                self._tell(request.domain, rule, hit, count)
        return answer(request, resolved, counts, self._options)

    async def _counts(self, hits: tuple[Hit | None, ...], once: str | None) -> list[Count | None]:
        asked = tuple(self._rehearsed(hit) for hit in hits if hit)
        counted = iter((await self._counter.hit(asked, once=once)).counts if asked else ())
        return [next(counted) if hit else None for hit in hits]

    def _rehearsed(self, hit: Hit) -> Hit:
        """Where nothing is to be refused, an absent store refuses nothing either."""
        if self._options.shadow and hit.on_store_failure is StoreFailure.DENY:
            return replace(hit, on_store_failure=StoreFailure.LOCAL)
        return hit

    def _tell(self, domain: str, resolved: Resolved, hit: Hit, count: Count) -> None:
        shadow = bool(resolved.limit and resolved.limit.shadow)
        if hit.is_fixed:
            increments = fixed_increments(
                count.used_before,
                count.used_before + hit.cost,
                hits=hit.cost,
                limit=hit.limit.limit,
                near_ratio=self._near_ratio,
                shadow=shadow,
            )
        else:
            increments = exact_increments(
                count.used_before,
                hits=hit.cost,
                limit=hit.limit.limit,
                near_ratio=self._near_ratio,
                over=count.over,
                charged=count.counted,
                shadow=shadow,
            )
        self._told(domain, measured_name(domain, resolved.measured_as), increments)
