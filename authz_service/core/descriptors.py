"""What `ShouldRateLimit` is asked and answers, and the limits that descriptor files hold.

Values only, in the terms of `envoy.service.ratelimit.v3` and of the files that teams already have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from authz_service.core.rules import StoreFailure

UNLIMITED_REMAINING = 4_294_967_295
"""What an unlimited descriptor is told to have left (uint32)."""


class Unit(Enum):
    """A unit of time: its number on the wire, and its length in seconds.

    A month has 30 days here and a year 365, unlike the calendar periods of a policy.
    """

    SECOND = (1, 1)
    MINUTE = (2, 60)
    HOUR = (3, 3_600)
    DAY = (4, 86_400)
    MONTH = (5, 2_592_000)
    YEAR = (6, 31_536_000)
    WEEK = (7, 604_800)

    def __init__(self, number: int, seconds: int) -> None:
        self.number = number
        self.seconds = seconds


class Algorithm(StrEnum):
    """How a limit counts."""

    EXACT = "exact"  # a sliding window, all limits of a request or none, nothing on denial
    FIXED = "fixed"  # windows that begin with the clock; denied calls count as well


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of a descriptor.

    With `is_pattern` the value is no value of a request, but a pattern of the rules whose values
    share one counter. A request's value never counts as one, even if it reads the same.
    """

    key: str
    value: str
    is_pattern: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A limit that a request brings along, in place of the configured one.

    Without `unit` the request named none that is known, and cannot be answered.
    """

    requests_per_unit: int
    unit: Unit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a request is counted by. `hits_addend` None: as the request says."""

    entries: tuple[Entry, ...]
    override: Override | None = None
    hits_addend: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitRequest:
    """One question. `hits_addend` 0 stands for 1."""

    domain: str
    descriptors: tuple[Descriptor, ...]
    hits_addend: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorLimit:
    """What a descriptor file says at one node. Without `unit` it is unlimited.

    A limit of 0 requests refuses everybody. Its window is `multiplier` units long.
    """

    requests_per_unit: int = 0
    unit: Unit | None
    multiplier: int = 1
    algorithm: Algorithm = Algorithm.EXACT
    name: str = ""
    replaces: tuple[str, ...] = ()
    shadow: bool = False
    quota: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)
    on_store_failure: StoreFailure = StoreFailure.LOCAL

    @property
    def window_s(self) -> int:
        """The length of its window in seconds; 0 of an unlimited one."""
        return self.unit.seconds * self.multiplier if self.unit else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The limit of one descriptor of a request, None if it has none, and what it counts under.

    `counted_as` are the entries of the request, but for values that share one counter: there the
    whole pattern they matched. `measured_as` is the rule as metrics name it, level by level.
    With `hits` 0 the counter is looked at and left alone.
    """

    limit: DescriptorLimit | None
    counted_as: tuple[Entry, ...] = ()
    measured_as: tuple[str, ...] = ()
    hits: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What became of one descriptor. Without a limit there is nothing to tell.

    `reset_ms` is the time until the first place comes free; with the fixed algorithm, until the
    window ends.
    """

    over: bool = False
    limit: DescriptorLimit | None = None
    remaining: int = 0
    reset_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitResponse:
    """The whole answer. `retry_after_ms` is how long the same request must wait, 0 if it passed.

    `in_shadow`: it is over, and passes because everything does.
    """

    over: bool
    statuses: tuple[Status, ...]
    headers: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, object] | None = None
    retry_after_ms: int = 0
    in_shadow: bool = False
