"""What the servicer of ShouldRateLimit counts, and when it looks at its watch."""

from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from authz_service.core.descriptors import RateLimitRequest, RateLimitResponse
from authz_service.core.resolve import Unanswerable
from authz_service.errors import UnanswerableError
from authz_service.observe.rate_limit_series import RateLimitSeries
from authz_service.transports.in_flight import InFlight
from authz_service.transports.rate_limit import Context, RateLimitServicer
from authz_service.wire import services


class Limiter:
    """Takes a quarter of a second by the watch to answer, or to raise."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.seconds = 10.0

    async def should_rate_limit(
        self, request: RateLimitRequest, *, request_id: str, once: str | None
    ) -> RateLimitResponse:
        """Let time pass."""
        del request, request_id, once
        self.seconds += 0.25
        if self.error:
            raise self.error
        return RateLimitResponse(over=False, statuses=())


class AbortedError(Exception):
    """The call ended with a status."""


class Call:
    """A call of gRPC, as far as the servicer looks at it."""

    def invocation_metadata(self) -> None:
        """None was sent."""

    async def abort(self, *_: object) -> None:
        """End it."""
        raise AbortedError


async def counted(error: Exception | None = None) -> CollectorRegistry:
    """All series after one question that the limiter answers, or raises this for."""
    registry, limiter = CollectorRegistry(), Limiter(error)
    servicer = RateLimitServicer(
        limiter,
        in_flight=InFlight(),
        series=RateLimitSeries(registry),
        seconds=lambda: limiter.seconds,
    )
    question = services.RateLimitRequest(domain="shop")
    question.descriptors.add()
    if error is None:
        await servicer.ShouldRateLimit(question, cast("Context", Call()))
    else:
        with pytest.raises(AbortedError):
            await servicer.ShouldRateLimit(question, cast("Context", Call()))
    return registry


@pytest.mark.parametrize("error", [None, RuntimeError("broken")])
async def test_the_time_is_that_of_the_whole_answer(error: Exception | None) -> None:
    """Of one that could not be given, too."""
    registry = await counted(error)
    assert registry.get_sample_value("authz_ratelimit_duration_seconds_sum") == 0.25
    assert registry.get_sample_value("authz_ratelimit_duration_seconds_count") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (Unanswerable.NO_DOMAIN, "no_domain"),
        (Unanswerable.NO_DESCRIPTORS, "no_descriptors"),
        (Unanswerable.NO_RULES, "no_rules"),
        (Unanswerable.UNKNOWN_UNIT, "invalid"),
    ],
)
async def test_all_words_for_no_answer_have_a_reason(words: Unanswerable, reason: str) -> None:
    """Whichever the limiter finds."""
    registry = await counted(UnanswerableError(words.value))
    labels = {"kind": "files", "reason": reason}
    assert registry.get_sample_value("authz_ratelimit_errors_total", labels) == 1


async def test_words_that_nobody_knows_are_our_own_fault() -> None:
    """They are counted all the same."""
    registry = await counted(UnanswerableError("made up"))
    labels = {"kind": "files", "reason": "internal_error"}
    assert registry.get_sample_value("authz_ratelimit_errors_total", labels) == 1
