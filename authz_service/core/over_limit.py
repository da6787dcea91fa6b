"""What a client is told that `ShouldRateLimit` refuses: one form of errors, and for how long."""

from authz_service.core.descriptors import DescriptorLimit, RateLimitResponse, Status
from authz_service.core.failures import FAILURES
from authz_service.core.limit_headers import Headers, seconds
from authz_service.core.respond import error_body
from authz_service.core.verdict import Reason


def retry_headers(response: RateLimitResponse) -> Headers:
    """`Retry-After`, where waiting helps."""
    if not response.over or not response.retry_after_ms:
        return ()
    return (("retry-after", str(seconds(response.retry_after_ms))),)


def over_limit_body(response: RateLimitResponse, *, request_id: str) -> str:
    """The body of a refusal, JSON. It names the limit that speaks, if that has a name."""
    details: dict[str, object] = {}
    limit = _speaking(response)
    if limit is not None and limit.name:
        details["limit"] = limit.name
    if response.retry_after_ms:
        details["retry_after"] = seconds(response.retry_after_ms)
    return error_body(FAILURES[Reason.RATE_LIMITED], request_id=request_id, details=details or None)


def _speaking(response: RateLimitResponse) -> DescriptorLimit | None:
    """Of the limits that are over, the one that comes free last.

    Those in quota mode refuse only where all of them are over: they speak if no other does.
    """
    over = [status for status in response.statuses if status.over]
    return max(over, key=_weight).limit if over else None


def _weight(status: Status) -> tuple[bool, int]:
    refuses_alone = status.limit is not None and not status.limit.quota
    return refuses_alone, status.reset_ms or 0
