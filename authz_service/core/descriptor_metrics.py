"""What one call adds to the counters of its rule, and what that rule is called there."""

import math
import re
import struct
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[:|]")
_IPV4 = re.compile(r"(?<![0-9])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Increments:
    """Hits by what became of them. Those near a limit are within it; those in shadow are over."""

    total_hits: int = 0
    within_limit: int = 0
    near_limit: int = 0
    over_limit: int = 0
    shadow_mode: int = 0


def fixed_increments(
    before: int, after: int, *, hits: int, limit: int, near_ratio: float, shadow: bool
) -> Increments:
    """What a call adds that took the counter of a fixed window from `before` to `after`.

    A call that goes over the limit halfway is over with the part behind it, and near it with the
    part before.
    """
    near = near_limit(limit, near_ratio)
    if after <= limit:
        return _within(before, after, hits=hits, near=near)
    over = hits if before >= limit else after - limit
    return Increments(
        total_hits=hits,
        near_limit=0 if before >= limit else limit - max(near, before),
        over_limit=over,
        shadow_mode=over if shadow else 0,
    )


def exact_increments(
    before: int,
    *,
    hits: int,
    limit: int,
    near_ratio: float,
    over: bool,
    charged: bool,
    shadow: bool,
) -> Increments:
    """What a call adds at an exact limit, which holds all of it or nothing.

    One that another limit of the request refused was not counted here: it is only a hit.
    """
    if over:
        return Increments(total_hits=hits, over_limit=hits, shadow_mode=hits if shadow else 0)
    if not charged:
        return Increments(total_hits=hits)
    return _within(before, before + hits, hits=hits, near=near_limit(limit, near_ratio))


def _within(before: int, after: int, *, hits: int, near: int) -> Increments:
    part = hits if before >= near else after - near
    return Increments(total_hits=hits, within_limit=hits, near_limit=part if after > near else 0)


def near_limit(limit: int, ratio: float) -> int:
    """The count above which a limit is near, reckoned in single precision as dashboards know it."""
    return math.floor(_single(_single(limit) * _single(ratio)))


def _single(number: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def measured_name(domain: str, measured_as: tuple[str, ...]) -> str:
    """The name of a rule in metrics: its levels with dots between, and none inside addresses."""
    return ".".join(_plain(level) for level in (domain, *measured_as))


def _plain(level: str) -> str:
    level = _SEPARATORS.sub("_", level)
    return _IPV4.sub(lambda found: found.group().replace(".", "_"), level)
