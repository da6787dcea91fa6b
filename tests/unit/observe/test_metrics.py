"""The sidecar's own series: names, labels, what each event adds."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from authz_service.core.meter import Scope
from authz_service.core.respond import Abandoned, Pass
from authz_service.core.verdict import Reason
from authz_service.observe.merge import Merger
from authz_service.observe.metrics import GAUGE_RULES, FetchOutcome, Metrics, StoreOutcome
from authz_service.observe.process_series import Process, ProcessSeries
from authz_service.testing.builders import facts

_GUIDE: Final = Path(__file__).parents[3] / "docs" / "metrics.md"
_PASSED: Final = {"route": "read", "reason": "ok", "tier": "free", "decision_id": "a-1"}


def samples(metrics: Metrics) -> Mapping[tuple[str, tuple[str, ...]], Sample]:
    """All samples by name and label values, the latter in the order of their names."""
    families: list[Metric] = list(
        text_string_to_metric_families(metrics.exposition().decode())  # type: ignore[no-untyped-call]
    )
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, *labels: str) -> float:
    """The value of one sample."""
    return samples(metrics)[name, labels].value


def decided(
    metrics: Metrics, metadata: Mapping[str, str], seconds: float, *, cloud_trace: str = ""
) -> None:
    """One check was answered."""
    metrics.decided(facts(cloud_trace=cloud_trace), Pass((), (), (), metadata), seconds)


@pytest.mark.parametrize(
    ("reason", "decision"),
    [
        (Reason.OK, "allow"),
        (Reason.RATE_LIMITED, "over_limit"),
        (Reason.QUOTA_EXCEEDED, "over_limit"),
        (Reason.STORE_UNAVAILABLE, "unavailable"),
        (Reason.SIGNING_KEYS_UNAVAILABLE, "unavailable"),
        (Reason.KEY_STORE_UNAVAILABLE, "unavailable"),
        (Reason.INTERNAL_ERROR, "unavailable"),
        (Reason.UNKNOWN_KEY, "deny"),
        (Reason.NO_ROUTE, "deny"),
    ],
)
def test_every_answer_is_counted_by_its_kind(reason: Reason, decision: str) -> None:
    """The reason decides the kind."""
    metrics = Metrics()
    for _ in range(2):
        decided(metrics, {**_PASSED, "reason": reason.value}, 0.001)
    assert value(metrics, "authz_decisions_total", decision, reason.value, "read", "free") == 2


def test_an_answer_without_route_and_tier_has_empty_labels() -> None:
    """Nothing of the request takes their place."""
    metrics = Metrics()
    decided(metrics, {"reason": "no_route", "decision_id": "a-1"}, 0.001)
    assert value(metrics, "authz_decisions_total", "deny", "no_route", "", "") == 1


def test_a_subject_never_becomes_a_label() -> None:
    """It stands in the metadata, and stays there."""
    metrics = Metrics()
    decided(metrics, {**_PASSED, "subject": "key:CANARY", "key_id": "CANARY"}, 1.0)
    assert b"CANARY" not in metrics.exposition()


def test_a_slow_decision_can_be_found() -> None:
    """Its id is the exemplar of its bucket; quick ones leave none."""
    metrics = Metrics()
    decided(metrics, _PASSED, 0.000_05)
    decided(metrics, {**_PASSED, "decision_id": "slow-1"}, 0.02)
    found = samples(metrics)
    assert found["authz_decision_duration_seconds_bucket", ("0.0001",)].value == 1
    assert found["authz_decision_duration_seconds_bucket", ("0.0001",)].exemplar is None
    exemplar = found["authz_decision_duration_seconds_bucket", ("0.025",)].exemplar
    assert exemplar is not None
    assert exemplar.labels == {"decision_id": "slow-1"}


def test_a_slow_decision_leads_to_its_trace() -> None:
    """The merge of workers and OpenMetrics keep the id of the trace beside that of the decision."""
    metrics, trace = Metrics(), "0af7651916cd43dd8448eb211c80319c"
    decision = "0123456789ab-ffffffffffffffff"
    metadata = {**_PASSED, "decision_id": decision}
    decided(metrics, metadata, 0.02, cloud_trace=f"{trace.upper()}/1")
    merger = Merger(GAUGE_RULES)
    merger.update("0", metrics.exposition())
    text, _ = merger.render("application/openmetrics-text")
    assert f'# {{decision_id="{decision}",trace_id="{trace}"}} 0.02' in text.decode()


def test_a_check_that_was_given_up_is_counted_apart() -> None:
    """By its route and tier, and by how long it took until then."""
    metrics = Metrics()
    gone = Abandoned({**_PASSED, "reason": "cancelled"})
    metrics.decided(facts(), gone, 0.2)
    counted = ("abandoned", "cancelled", "read", "free")
    assert value(metrics, "authz_decisions_total", *counted) == 1
    assert value(metrics, "authz_decision_duration_seconds_bucket", "0.25") == 1


def test_calls_to_the_store_are_counted_and_timed() -> None:
    """A call that was not made has no duration."""
    metrics = Metrics()
    metrics.store_called(StoreOutcome.OK, 0.002)
    metrics.store_called(StoreOutcome.ERROR, 0.025)
    metrics.store_skipped()
    for outcome in StoreOutcome:
        assert value(metrics, "authz_store_calls_total", outcome.value) == 1
    assert value(metrics, "authz_store_call_duration_seconds_count") == 2
    assert value(metrics, "authz_store_call_duration_seconds_bucket", "0.0025") == 1


def test_the_fallback_shows() -> None:
    """While it lasts, and every charge it took."""
    metrics = Metrics()
    metrics.fallback(active=True)
    metrics.fallback_decided(Scope.LOCAL)
    assert value(metrics, "authz_fallback_active") == 1
    assert value(metrics, "authz_fallback_decisions_total", "local") == 1
    assert value(metrics, "authz_fallback_decisions_total", "uncounted") == 0
    metrics.fallback(active=False)
    assert value(metrics, "authz_fallback_active") == 0


def test_a_refused_policy_shows_until_the_next_good_one() -> None:
    """The digest, and when it took effect, stay those of the policy that is enforced."""
    metrics = Metrics()
    metrics.policy_loaded("one", at_ms=1_500)
    metrics.policy_refused()
    assert value(metrics, "authz_policy_failed") == 1
    assert value(metrics, "authz_policy_last_success_timestamp_seconds") == 1.5
    assert value(metrics, "authz_policy_info", "one") == 1
    metrics.policy_loaded("two", at_ms=3_000)
    assert value(metrics, "authz_policy_failed") == 0
    assert value(metrics, "authz_policy_info", "two") == 1
    assert ("authz_policy_info", ("one",)) not in samples(metrics)
    assert value(metrics, "authz_policy_loads_total", "success") == 2
    assert value(metrics, "authz_policy_loads_total", "failure") == 1


def test_known_keys_are_shown() -> None:
    """As a number, nothing else."""
    metrics = Metrics()
    metrics.keys_loaded(4)
    assert value(metrics, "authz_keys_loaded") == 4


def test_keys_of_all_sources_are_shown_together() -> None:
    """Those of the configuration and those of the key store, whichever changes."""
    metrics = Metrics()
    metrics.keys_loaded(4)
    metrics.key_store_read(keys=10, problems=2, at_ms=1_500)
    assert value(metrics, "authz_keys_loaded") == 14
    assert value(metrics, "authz_key_store_problems") == 2
    metrics.keys_loaded(3)
    assert value(metrics, "authz_keys_loaded") == 13


def test_the_key_store_shows() -> None:
    """Whether it answers, when it was last read, and how often as a whole; nothing without one."""
    metrics = Metrics()
    assert isnan(value(metrics, "authz_key_store_up"))
    metrics.key_store_lost()
    assert value(metrics, "authz_key_store_up") == 0
    metrics.key_store_loaded()
    metrics.key_store_read(keys=0, problems=0, at_ms=1_500)
    assert value(metrics, "authz_key_store_up") == 1
    assert value(metrics, "authz_key_store_last_read_timestamp_seconds") == 1.5
    assert value(metrics, "authz_key_store_reloads_total") == 1
    metrics.key_store_lost()
    assert value(metrics, "authz_key_store_last_read_timestamp_seconds") == 1.5
    metrics.uses_dropped(3)
    assert value(metrics, "authz_key_store_uses_dropped_total") == 3


def test_one_worker_that_cannot_read_the_key_store_shows() -> None:
    """The least over workers is what all of them have in common."""
    one, other = Metrics(), Metrics()
    for at_ms, metrics in ((1_000, one), (2_000, other)):
        metrics.key_store_read(keys=1, problems=0, at_ms=at_ms)
    other.key_store_lost()
    merger = Merger(GAUGE_RULES)
    merger.update("one", one.exposition())
    merger.update("other", other.exposition())
    shown = {it.name: it.value for family in merger.families() for it in family.samples}
    assert shown["authz_key_store_up"] == 0
    assert shown["authz_key_store_last_read_timestamp_seconds"] == 1


def test_registries_are_apart() -> None:
    """Two of them in one process share nothing."""
    one, other = Metrics(), Metrics()
    one.keys_loaded(4)
    assert value(other, "authz_keys_loaded") == 0


def test_looked_up_tokens_are_counted_by_what_came_of_it() -> None:
    """Those that were remembered, and those that were not."""
    metrics = Metrics()
    for is_remembered in (True, False, False):
        metrics.token_looked_up(is_remembered)
    assert value(metrics, "authz_token_cache_lookups_total", "hit") == 1
    assert value(metrics, "authz_token_cache_lookups_total", "miss") == 2


def test_a_providers_keys_show_as_they_are_now() -> None:
    """They are counted when they are asked for: a set grows old while nothing happens."""
    metrics, usable = Metrics(), [2]
    metrics.jwks_followed("login", usable=usable.pop, last_success_ms=lambda: 1_500)
    shown = samples(metrics)
    assert shown["authz_jwks_keys", ("login",)].value == 2
    assert shown["authz_jwks_last_success_timestamp_seconds", ("login",)].value == 1.5


def test_a_provider_that_is_gone_does_not_show() -> None:
    """Its fetches stay counted, its keys are no longer missing."""
    metrics = Metrics()
    metrics.jwks_followed("login", usable=lambda: 0, last_success_ms=lambda: 0)
    metrics.jwks_fetched("login", FetchOutcome.REFUSED)
    metrics.jwks_forgotten("login")
    shown = samples(metrics)
    assert ("authz_jwks_keys", ("login",)) not in shown
    assert shown["authz_jwks_fetches_total", ("refused", "login")].value == 1


class _Planted(Collector):
    def collect(self) -> list[Metric]:
        return [CounterMetricFamily("authz_planted", "Planted.", value=3)]


def test_a_part_may_count_for_itself() -> None:
    """Its series stand beside ours."""
    metrics = Metrics()
    metrics.register(_Planted())
    assert value(metrics, "authz_planted_total") == 3


def test_every_rule_is_of_a_gauge_that_exists(tmp_path: Path) -> None:
    """And the gauge's own text says which rule it is."""
    statm = tmp_path / "statm"
    statm.write_text("3 2 1", "ascii")
    metrics, merger = Metrics(), Merger(GAUGE_RULES)
    metrics.register(ProcessSeries(Process.WORKER, statm=statm))
    merger.update("a", metrics.exposition())
    texts = {family.name: family.documentation for family in merger.families()}
    types = {family.name: family.type for family in merger.families()}
    words = {min: "the least over workers.", sum: "the sum over workers."}
    for name, rule in GAUGE_RULES.items():
        assert types[name] == "gauge"
        assert texts[name].endswith(words[rule])


def test_every_series_is_documented() -> None:
    """Under the name that a query uses."""
    merger = Merger(GAUGE_RULES)
    merger.update("a", Metrics().exposition())
    suffixes = {"counter": "_total", "info": "_info"}
    names = {it.name + suffixes.get(it.type, "") for it in merger.families()}
    documented = set(re.findall(r"^\| `(\w+)` \|", _GUIDE.read_text(), re.MULTILINE))
    assert documented >= names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say() -> None:
    """Names, types and texts follow the custom."""
    metrics = Metrics()
    decided(metrics, _PASSED, 0.001)
    metrics.policy_loaded("one", at_ms=1)
    merger = Merger(GAUGE_RULES)
    merger.update("a", metrics.exposition())
    text, _ = merger.render("")
    judged = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=20
    )
    assert (judged.returncode, judged.stdout, judged.stderr) == (0, b"", b"")
