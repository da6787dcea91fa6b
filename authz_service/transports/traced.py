"""Spans around the two questions of Envoy. Wrapped around their servicers only while traces are on.

The parent is what Envoy says in the metadata of its call. The `traceparent` among the headers of a
check may be the client's word, and a client does not decide what is sampled.
"""

from collections.abc import Iterable
from typing import Final

from authz_service.core.decision import kind_of
from authz_service.core.facts import Facts
from authz_service.core.respond import Outcome
from authz_service.core.trace_context import TraceContext, of_traceparent
from authz_service.observe.tracing import Tracer
from authz_service.transports import ext_authz, rate_limit
from authz_service.wire import services

TRACEPARENT: Final = "traceparent"

_TOLD: Final = {
    "route": "authz.route",
    "reason": "authz.reason",
    "tier": "authz.tier",
    "scope": "authz.scope",
    "shadow_reason": "authz.shadow_reason",
    "decision_id": "authz.decision_id",
}
"""Of an answer's metadata. Who was calling is in the access log, under the same `decision_id`."""


class TracedAuthorization(services.AuthorizationServicer):
    """A span around each check."""

    def __init__(self, inner: ext_authz.ExtAuthzServicer, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def Check(
        self, request: services.CheckRequest, context: ext_authz.Context
    ) -> services.CheckResponse:
        """The check, in the trace of the request that it is about."""
        parent = parent_of(context.invocation_metadata())
        if parent is None:
            return await self._inner.Check(request, context)
        with self._tracer.continued("Check", parent):
            return await self._inner.Check(request, context)


class TracedRateLimit(services.RateLimitServiceServicer):
    """A span around each question about limits."""

    def __init__(self, inner: rate_limit.RateLimitServicer, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def ShouldRateLimit(
        self, request: services.RateLimitRequest, context: rate_limit.Context
    ) -> services.RateLimitResponse:
        """The question, in the trace of the request that it is about."""
        parent = parent_of(context.invocation_metadata())
        if parent is None:
            return await self._inner.ShouldRateLimit(request, context)
        with self._tracer.continued("ShouldRateLimit", parent):
            answer = await self._inner.ShouldRateLimit(request, context)
            is_over = answer.overall_code == services.RateLimitResponse.OVER_LIMIT
            self._tracer.tell({"ratelimit.over_limit": is_over})
            return answer


def telling(tracer: Tracer) -> ext_authz.Decided:
    """Tell the span at hand what became of its check."""

    def told(_facts: Facts, outcome: Outcome, _seconds: float) -> None:
        metadata = outcome.metadata
        attributes = {_TOLD[name]: it for name, it in metadata.items() if name in _TOLD}
        tracer.tell({"authz.decision": kind_of(metadata["reason"]).value, **attributes})

    return told


def parent_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> TraceContext | None:
    """The span of Envoy's that a call belongs to, if it named one."""
    for name, value in metadata or ():
        if name == TRACEPARENT and isinstance(value, str):
            return of_traceparent(value)
    return None
