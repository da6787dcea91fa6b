"""How readings become headers: which limit speaks, and in whose spelling.

`X-RateLimit-*` is the custom every client library knows; `RateLimit` and `RateLimit-Policy` are
the IETF draft (draft-ietf-httpapi-ratelimit-headers), structured fields after RFC 9651.
"""

from collections.abc import Iterable

from authz_service.core.meter import Metered, Reading
from authz_service.core.rules import Limit, Period, Quota

# What `w` says of a calendar period. A month is told as 30 days; its reset is exact all the same.
_NOMINAL_SECONDS = {Period.DAY: 86_400, Period.WEEK: 604_800, Period.MONTH: 2_592_000}

Headers = tuple[tuple[str, str], ...]


def seconds(milliseconds: int) -> int:
    """Whole seconds, rounded up: a client that waits this long never comes too early."""
    return -(-milliseconds // 1000)


def tightest(readings: Iterable[Reading]) -> Reading:
    """The limit that speaks for an admitted request: fewest left, then the later reset."""
    return min(readings, key=lambda reading: (reading.remaining, -reading.reset_ms))


def longest_wait(readings: Iterable[Reading]) -> Reading:
    """The limit that speaks for a refused request: the one with the longest wait."""
    return max(readings, key=lambda reading: reading.retry_after_ms)


def limit_headers(metered: Metered) -> Headers:
    """Everything a client learns about its limits, from one request."""
    speaks = tightest(metered.readings) if metered.admitted else longest_wait(metered.readings)
    return (
        ("x-ratelimit-limit", str(speaks.charge.limit.limit)),
        ("x-ratelimit-remaining", str(speaks.remaining)),
        ("x-ratelimit-reset", str(seconds(speaks.reset_ms))),
        ("ratelimit", ", ".join(map(_state, metered.readings))),
        ("ratelimit-policy", ", ".join(map(_policy, metered.readings))),
    )


def forwarded_limits(metered: Metered) -> str:
    """The same for the application, in one structured list (`x-authz-limits`)."""
    return ", ".join(
        f'"{limit.name}";q={limit.limit};r={reading.remaining}'
        f";w={_window_seconds(limit)};t={seconds(reading.reset_ms)}"
        for reading in metered.readings
        for limit in (reading.charge.limit,)
    )


def _state(reading: Reading) -> str:
    name = reading.charge.limit.name
    return f'"{name}";r={reading.remaining};t={seconds(reading.reset_ms)}'


def _policy(reading: Reading) -> str:
    limit = reading.charge.limit
    return f'"{limit.name}";q={limit.limit};w={_window_seconds(limit)}'


def _window_seconds(limit: Limit) -> int:
    if isinstance(limit, Quota):
        return _NOMINAL_SECONDS[limit.period]
    return limit.window_ms // 1000
