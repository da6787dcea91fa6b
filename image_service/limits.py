"""`@rate_limit`: a handler says how often a caller may call it, and the sidecar sees to it.

The mark changes nothing about the handler. `image_service policy-fragment` writes the marks as a
part of the sidecar's policy.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

# What a policy takes: so many admissions in so many seconds, and names in headers and keys.
MAX_REQUESTS: Final = 1_000_000_000
MAX_WINDOW_S: Final = 999_999
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MARK: Final = "__rate_limits__"

_Handler = TypeVar("_Handler", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` of one caller in any trailing `window_s` seconds.

    Handlers that name the same limit share it. Without a name it has that of the route.
    """

    requests: int
    window_s: int
    name: str | None = None


def rate_limit(
    *, requests: int, window: int, name: str | None = None
) -> Callable[[_Handler], _Handler]:
    """Mark a handler: at most `requests` of one caller in any trailing `window` seconds.

    Raises:
        ValueError: no policy could say so.
    """
    if not _is_whole(requests, MAX_REQUESTS):
        raise ValueError(f"requests must be a whole number from 1 to {MAX_REQUESTS}")
    if not _is_whole(window, MAX_WINDOW_S):
        raise ValueError(f"window must be whole seconds, 1 to {MAX_WINDOW_S}")
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError("name must be lower-case letters, digits and -, at most 63")
    limit = RateLimit(requests, window, name)

    def mark(handler: _Handler) -> _Handler:
        marked = limits_of(handler)
        if name in {other.name for other in marked}:
            raise ValueError("two limits of one handler must have different names")
        setattr(handler, _MARK, (limit, *marked))  # decorators run from the bottom up
        return handler

    return mark


def limits_of(handler: Callable[..., object]) -> tuple[RateLimit, ...]:
    """The limits that a handler is marked with, as they stand above it."""
    marked: tuple[RateLimit, ...] = getattr(handler, _MARK, ())
    return marked


def _is_whole(value: object, most: int) -> bool:
    # True is an int too.
    return type(value) is int and 1 <= value <= most
