"""What a compiled policy is made of: limits, tiers, routes, token providers.

Values only. `policy/compile.py` builds them from a file; every stage reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from authz_service.core.provider import Provider

EXACT_ADMISSIONS: Final = 1_000
"""Up to so many admissions a window, a rate counts each one by itself; beyond, in buckets."""

EXACT_WINDOW_MS: Final = 49 * 24 * 3_600_000
"""So long may a window be that counts each one by itself: a log knows moments of 49.7 days."""

# Envoy has routes of its own beside a policy's, and routes are told apart by name.
RESERVED_ROUTE_NAMES = frozenset({"preflight", "metrics", "method_not_allowed", "not_found"})


class Authentication(StrEnum):
    """Whether a route asks for a credential."""

    REQUIRED = "required"
    OPTIONAL = "optional"  # a caller without one is anonymous, by client address
    NONE = "none"  # Envoy does not ask us at all


class StoreFailure(StrEnum):
    """What happens to a limited request while the counter store does not answer."""

    LOCAL = "local"  # count the same windows in this process
    ALLOW = "allow"
    DENY = "deny"  # 503 with Retry-After


class Period(StrEnum):
    """A calendar period, in the quota's time zone."""

    DAY = "day"
    WEEK = "week"  # starts on Monday
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `limit` admissions in any trailing window of `window_ms` milliseconds.

    `on_store_failure` None leaves it to the route what happens while the store is away.
    """

    name: str
    limit: int
    window_ms: int
    on_store_failure: StoreFailure | None = None

    @property
    def is_exact(self) -> bool:
        """Whether a place is free when its admission leaves the window, or up to 1/60 of it later.

        The limit itself decides, never what is left of it: it chooses the counter.
        """
        return self.limit <= EXACT_ADMISSIONS and self.window_ms <= EXACT_WINDOW_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `limit` admissions in one calendar period of `zone` (an IANA time zone name).

    `on_store_failure` None leaves it to the route what happens while the store is away.
    """

    name: str
    limit: int
    period: Period
    zone: str
    on_store_failure: StoreFailure | None = None


Limit = Rate | Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """A caller's own limits in place of those of the tier. None leaves the tier's as it is.

    `quota` is admissions and a calendar period of the policy's time zone.
    """

    rate: Rate | None = None
    quota: tuple[int, Period] | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request takes from one limit. `cost` is at least 1 and at most the limit.

    `on_store_failure` is what happens to it while the counter store does not answer. `held` is how
    many places of the limit another counter holds at the moment: this one admits so many fewer.
    """

    limit: Limit
    cost: int
    on_store_failure: StoreFailure = StoreFailure.LOCAL
    held: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a class of callers may use. `max_upload_bytes` is the size of the file itself."""

    name: str
    rate: Rate | None
    quota: Quota | None
    max_upload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One protected operation: which requests it is, who may call it, what a call costs.

    `paths` are exact paths or templates in which `{name}` stands for one non-empty segment.
    Of a caller the route asks for one of `tiers`, all of `scopes` and one of `credentials`, which
    are values of `Method`; empty, it does not ask. A route in `shadow` decides and tells, and lets
    every request pass. `on_store_failure` is for limits that say nothing themselves. `charges`
    holds, for each tier name, everything a request takes: computed once, read per check.
    """

    name: str
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    authentication: Authentication
    cost: int
    limits: tuple[Rate, ...]
    global_limits: tuple[Rate, ...]
    forward_limits: bool
    on_store_failure: StoreFailure
    tiers: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    shadow: bool = False
    charges: Mapping[str, tuple[Charge, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The protected application. `timeout_ms` bounds a whole response."""

    host: str
    port: int
    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the service enforces, immutable. `digest` identifies the text it came from.

    `bad_credentials` is how often one address may present an invalid credential to one process.

    The first route that matches decides, here and in Envoy.
    """

    digest: str
    metrics_prefix: str
    trusted_hops: int
    body_overhead_bytes: int
    cors_origins: tuple[str, ...]
    quota_time_zone: str
    bad_credentials: Rate
    upstream: Upstream
    tiers: Mapping[str, Tier]
    routes: tuple[Route, ...]
    providers: tuple[Provider, ...] = ()
