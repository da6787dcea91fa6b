"""What one process counts about itself, in the words of the sidecar.

Every name, label and bucket stands here or in a module beside it. Label values come from the
policy and from our own vocabulary, never from a request: their number is bounded.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import nan
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.registry import Collector

from authz_service.core.decision import kind_of
from authz_service.core.descriptor_metrics import Increments
from authz_service.core.facts import Facts
from authz_service.core.meter import Metered, Scope
from authz_service.core.respond import Outcome
from authz_service.core.trace_context import trace_id
from authz_service.observe.buckets import BUCKETS_SECONDS
from authz_service.observe.descriptor_files import FILES_AGE_GAUGE, RULES_GAUGE, DescriptorFiles
from authz_service.observe.exposition import Encoder
from authz_service.observe.fallback_series import FallbackSeconds
from authz_service.observe.limit_series import LimitSeries
from authz_service.observe.merge import Rule
from authz_service.observe.process_series import MEMORY_GAUGE
from authz_service.observe.rate_limit_series import RateLimitSeries
from authz_service.observe.rule_series import RuleSeries
from authz_service.observe.stage_series import StageSeries

_SLOW_SECONDS = 0.01

FALLBACK_GAUGE: Final = "authz_fallback_active"
JWKS_KEYS_GAUGE: Final = "authz_jwks_keys"
KEY_STORE_GAUGE: Final = "authz_key_store_up"

GAUGE_RULES: Final[Mapping[str, Rule]] = {
    # The worker that is furthest behind is the one to look at.
    "authz_policy_last_success_timestamp_seconds": min,
    "authz_keys_loaded": min,
    JWKS_KEYS_GAUGE: min,
    "authz_jwks_last_success_timestamp_seconds": min,
    KEY_STORE_GAUGE: min,
    "authz_key_store_last_read_timestamp_seconds": min,
    RULES_GAUGE: min,
    FILES_AGE_GAUGE: min,
    MEMORY_GAUGE: sum,
}
"""How gauges of several workers become one; of every other the greatest is shown."""


class StoreOutcome(StrEnum):
    """What became of a call to the shared store, as the label `outcome` names it."""

    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"  # the circuit breaker kept it from waiting


class LoadOutcome(StrEnum):
    """What became of a policy file, as the label `outcome` names it."""

    SUCCESS = "success"
    FAILURE = "failure"


class FetchOutcome(StrEnum):
    """What became of fetching a provider's keys, as the label `outcome` names it."""

    SUCCESS = "success"
    ERROR = "error"  # nobody answered, not in time, or not with a trusted certificate
    REFUSED = "refused"  # not a 200, compressed, or too long
    UNUSABLE = "unusable"  # no key set, or one without a key for us


class Metrics:
    """The series of one process, in a registry of their own.

    `rate_limit` are those of the questions of `ShouldRateLimit`, `descriptor_files` those of the
    files whose limits they are about, `stages` those of the stages of a check.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._encoder = Encoder()
        self._decisions = Counter(
            "authz_decisions_total",
            "Checks, by what became of them.",
            ("route", "decision", "reason", "tier"),
            registry=self._registry,
        )
        self._decision_duration = Histogram(
            "authz_decision_duration_seconds",
            "Time from a decoded check to its answer, or to its end without one.",
            buckets=BUCKETS_SECONDS,
            registry=self._registry,
        )
        self._shadows = Counter(
            "authz_shadow_decisions_total",
            "Checks of routes in shadow, by what would have been answered.",
            ("route", "decision", "reason", "tier"),
            registry=self._registry,
        )
        self._decided: dict[tuple[str, str, str], Counter] = {}
        self.stages = StageSeries()
        self._registry.register(self.stages)
        self._limits = LimitSeries()
        self._registry.register(self._limits)
        self._rules = RuleSeries()
        self._registry.register(self._rules)
        self.rate_limit = RateLimitSeries(self._registry)
        self.descriptor_files = DescriptorFiles(self._registry)
        self._store = _StoreSeries(self._registry)
        self._policy = _PolicySeries(self._registry)
        self._tokens = _TokenSeries(self._registry)
        self._keys = _KeySeries(self._registry)

    def decided(self, facts: Facts, outcome: Outcome, seconds: float) -> None:
        """One check was answered, or given up, after so many seconds.

        A slow one leaves its `decision_id` as an exemplar, and the id of its trace if it has one:
        logs and traces have the rest.
        """
        metadata = outcome.metadata
        key = (metadata.get("route", ""), metadata["reason"], metadata.get("tier", ""))
        counter = self._decided.get(key)
        if counter is None:
            counter = self._decided[key] = self._decision_counter(*key)
        counter.inc()
        if "shadow_reason" in metadata:
            self._shadowed(metadata)
        slow = seconds >= _SLOW_SECONDS
        self._decision_duration.observe(
            seconds, _exemplar(facts, metadata["decision_id"]) if slow else None
        )

    def _shadowed(self, metadata: Mapping[str, str]) -> None:
        reason, tier = metadata["shadow_reason"], metadata.get("tier", "")
        self._shadows.labels(metadata["route"], kind_of(reason).value, reason, tier).inc()

    def metered(self, metered: Metered) -> None:
        """The limits of one request were looked at."""
        self._limits.metered(metered)

    def rule_hit(self, domain: str, rule: str, increments: Increments) -> None:
        """A rule of a descriptor file was hit."""
        self._rules.hit(domain, rule, increments)

    def denial_recalled(self) -> None:
        """A denial was told again without asking the shared store."""
        self._store.denials_recalled.inc()

    def store_called(self, outcome: StoreOutcome, seconds: float) -> None:
        """The shared store answered, or failed to, after so many seconds."""
        self._store.calls[outcome].inc()
        self._store.duration.observe(seconds)

    def store_skipped(self) -> None:
        """The shared store was not asked, because it keeps failing."""
        self._store.calls[StoreOutcome.SKIPPED].inc()

    def fallback(self, *, active: bool) -> None:
        """Whether the shared store is left alone for now."""
        self._store.fallback_active.set(active)

    def breakers_followed(self, open_count: Callable[[], int]) -> None:
        """From now on there are breakers before the shared store: how many of them are open."""
        self._store.breakers_open.set_function(open_count)

    def fallback_followed(self, seconds: Callable[[], float]) -> None:
        """From now on `seconds` tells this process's part of the time without the shared store."""
        self._store.fallback_seconds.follow(seconds)

    def fallback_decided(self, scope: Scope) -> None:
        """A charge was counted in this process, or not at all, instead of the shared store."""
        self._store.fallback_decisions[scope].inc()

    def policy_loaded(self, digest: str, *, at_ms: int) -> None:
        """A policy took effect. `at_ms` is wall-clock milliseconds since the Unix epoch."""
        self._policy.loads[LoadOutcome.SUCCESS].inc()
        self._policy.last_success.set(at_ms / 1000)
        self._policy.failed.set(0)
        self._policy.info.info({"digest": digest})

    def policy_refused(self) -> None:
        """The newest policy file is not fit for use; the one before it stays in effect."""
        self._policy.loads[LoadOutcome.FAILURE].inc()
        self._policy.failed.set(1)

    def keys_loaded(self, count: int) -> None:
        """The configuration has so many API keys now."""
        self._keys.configured = count
        self._keys.show_loaded()

    def key_store_read(self, *, keys: int, problems: int, at_ms: int) -> None:
        """The key store was read to its end: so many keys count, so many records do not."""
        self._keys.stored = keys
        self._keys.show_loaded()
        self._keys.problems.set(problems)
        self._keys.last_read.set(at_ms / 1000)
        self._keys.up.set(1)

    def key_store_lost(self) -> None:
        """The key store did not answer."""
        self._keys.up.set(0)

    def key_store_loaded(self) -> None:
        """The key store was read from its beginning to its end."""
        self._keys.loads.inc()

    def uses_dropped(self, count: int) -> None:
        """So many uses of keys could not be noted in the key store."""
        self._keys.uses_dropped.inc(count)

    def token_looked_up(self, is_remembered: bool) -> None:  # noqa: FBT001 - a yes or a no
        """A token came that was verified before and is still good, or one that was not."""
        self._tokens.lookups[is_remembered].inc()

    def jwks_followed(
        self, provider: str, *, usable: Callable[[], int], last_success_ms: Callable[[], int]
    ) -> None:
        """From now on a provider's keys are kept: how many may be relied on, and since when."""
        self._tokens.keys.labels(provider).set_function(usable)
        self._tokens.last_success.labels(provider).set_function(lambda: last_success_ms() / 1000)

    def jwks_fetched(self, provider: str, outcome: FetchOutcome) -> None:
        """A fetch of a provider's keys ended."""
        self._tokens.fetches.labels(provider, outcome.value).inc()

    def jwks_forgotten(self, provider: str) -> None:
        """A provider's keys are kept no more."""
        self._tokens.keys.remove(provider)
        self._tokens.last_success.remove(provider)

    def register(self, collector: Collector) -> None:
        """Show the series of a part that counts for itself.

        Raises:
            ValueError: a name is taken.
        """
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """Everything, in the OpenMetrics text format, exemplars included."""
        return self._encoder.encode(self._registry.collect())

    def _decision_counter(self, route: str, reason: str, tier: str) -> Counter:
        return self._decisions.labels(route, kind_of(reason).value, reason, tier)


def _exemplar(facts: Facts, decision_id: str) -> dict[str, str]:
    """Labels of 128 characters together at most (OpenMetrics 1.0): these have fewer than 90."""
    trace = trace_id(facts)
    return {"decision_id": decision_id} | ({"trace_id": trace} if trace else {})


class _StoreSeries:
    """The shared store, as this process sees it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        calls = Counter(
            "authz_store_calls_total",
            "Calls to the shared counter store.",
            ("outcome",),
            registry=registry,
        )
        self.calls = {outcome: calls.labels(outcome.value) for outcome in StoreOutcome}
        self.duration = Histogram(
            "authz_store_call_duration_seconds",
            "Time a call to the shared counter store took, whatever came of it.",
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self.denials_recalled = Counter(
            "authz_store_denials_recalled_total",
            "Denials told again from memory, without a call to the shared counter store.",
            registry=registry,
        )
        self.fallback_active = Gauge(
            FALLBACK_GAUGE,
            "1 while the shared counter store, or a part of it, is left alone because it keeps "
            "failing; the greatest over workers.",
            registry=registry,
        )
        self.fallback_seconds = FallbackSeconds()
        registry.register(self.fallback_seconds)
        self.breakers_open = Gauge(
            "authz_store_breaker_open",
            "Nodes of the shared counter store whose circuit breaker is open; the greatest over "
            "workers.",
            registry=registry,
        )
        decisions = Counter(
            "authz_fallback_decisions_total",
            "Charges not counted in the shared store, by where they were counted instead.",
            ("scope",),
            registry=registry,
        )
        scopes = (Scope.LOCAL, Scope.UNCOUNTED)
        self.fallback_decisions = {scope: decisions.labels(scope.value) for scope in scopes}


class _PolicySeries:
    """What is enforced, and whether it is the newest."""

    def __init__(self, registry: CollectorRegistry) -> None:
        loads = Counter(
            "authz_policy_loads_total", "Policy files read.", ("outcome",), registry=registry
        )
        self.loads = {outcome: loads.labels(outcome.value) for outcome in LoadOutcome}
        self.last_success = Gauge(
            "authz_policy_last_success_timestamp_seconds",
            "When the policy in effect was loaded; the least over workers.",
            registry=registry,
        )
        self.failed = Gauge(
            "authz_policy_failed",
            "1 while the newest policy file is refused; the greatest over workers.",
            registry=registry,
        )
        self.info = Info("authz_policy", "The policy in effect, by digest.", registry=registry)


class _KeySeries:
    """The API keys, and the store that some of them come from.

    Without a key store its gauges have no number, and its counters stay at zero.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.configured = self.stored = 0
        self._loaded = Gauge(
            "authz_keys_loaded", "API keys known; the least over workers.", registry=registry
        )
        self.up = Gauge(
            KEY_STORE_GAUGE,
            "1 while the key store answers; the least over workers.",
            registry=registry,
        )
        self.last_read = Gauge(
            "authz_key_store_last_read_timestamp_seconds",
            "When the key store was last read to its end; the least over workers.",
            registry=registry,
        )
        self.problems = Gauge(
            "authz_key_store_problems",
            "Records of the key store that do not count; the greatest over workers.",
            registry=registry,
        )
        for gauge in (self.up, self.last_read, self.problems):
            gauge.set(nan)
        self.loads = Counter(
            "authz_key_store_reloads_total",
            "Times the key store was read as a whole, the first one included.",
            registry=registry,
        )
        self.uses_dropped = Counter(
            "authz_key_store_uses_dropped_total",
            "Uses of keys that could not be noted in the key store.",
            registry=registry,
        )

    def show_loaded(self) -> None:
        """All keys, wherever they come from."""
        self._loaded.set(self.configured + self.stored)


class _TokenSeries:
    """Bearer tokens, and the keys that they are checked with."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lookups = Counter(
            "authz_token_cache_lookups_total",
            "Bearer tokens, by whether their verification was remembered.",
            ("outcome",),
            registry=registry,
        )
        self.lookups = {True: lookups.labels("hit"), False: lookups.labels("miss")}
        self.keys = Gauge(
            JWKS_KEYS_GAUGE,
            "Fetched keys of a provider that may be relied on; the least over workers.",
            ("provider",),
            registry=registry,
        )
        self.last_success = Gauge(
            "authz_jwks_last_success_timestamp_seconds",
            "When a provider's keys were last fetched; the least over workers.",
            ("provider",),
            registry=registry,
        )
        self.fetches = Counter(
            "authz_jwks_fetches_total",
            "Fetches of a provider's keys.",
            ("provider", "outcome"),
            registry=registry,
        )
