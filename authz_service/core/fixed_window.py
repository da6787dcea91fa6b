"""The arithmetic of windows that begin with the clock.

All times are whole seconds since 1970. Windows follow one another without a gap from there, so a
day begins at midnight UTC, and a week on a Thursday.
"""

from dataclasses import dataclass

MAX_COUNT = (1 << 53) - 1
"""Where counting ends: the largest number that a script of the store holds exactly."""


@dataclass(frozen=True, slots=True)
class Charged:
    """A counter before and after a call."""

    before: int
    after: int
    over: bool
    remaining: int


def window_start(now_s: int, window_s: int) -> int:
    """When the window that `now_s` lies in began."""
    return now_s - now_s % window_s


def reset_s(now_s: int, window_s: int) -> int:
    """How long the window that `now_s` lies in still lasts: from 1 to its length."""
    return window_s - now_s % window_s


def charge(before: int, *, hits: int, limit: int) -> Charged:
    """Count a call in the window in which `before` were counted.

    A call that is over the limit counts as well. One of 0 hits only looks: it is over where more
    than the limit has been counted, and not where just the limit has.
    """
    after = min(before + hits, MAX_COUNT)
    return Charged(before, after, over=after > limit, remaining=max(0, limit - after))
