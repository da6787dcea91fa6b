"""Questions of ShouldRateLimit by what became of them."""

from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from authz_service.observe.buckets import BUCKETS_SECONDS
from authz_service.observe.rate_limit_series import (
    Failure,
    JsonRefusal,
    Kind,
    RateLimitSeries,
    json_refusals,
)

GUIDE: Final = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
ANSWERS: Final = "authz_ratelimit_answers_total"
ERRORS: Final = "authz_ratelimit_errors_total"
DURATION: Final = "authz_ratelimit_duration_seconds"


class Stack:
    """The series in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.series = RateLimitSeries(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one sample."""
        return self.registry.get_sample_value(name, labels)


def test_answers_are_counted_by_kind_and_code() -> None:
    """Each of the two kinds by itself."""
    stack = Stack()
    stack.series.answered(Kind.POLICY, over=False, seconds=0.001)
    for _ in range(2):
        stack.series.answered(Kind.FILES, over=True, seconds=0.001)
    assert stack.value(ANSWERS, kind="policy", code="ok") == 1
    assert stack.value(ANSWERS, kind="policy", code="over_limit") == 0
    assert stack.value(ANSWERS, kind="files", code="ok") == 0
    assert stack.value(ANSWERS, kind="files", code="over_limit") == 2


def test_a_failure_is_an_answer_too_and_has_a_reason() -> None:
    """Errors by reason add up to the answers with the code `error`."""
    stack = Stack()
    for failure in Failure:
        stack.series.failed(Kind.FILES, failure, seconds=0.001)
    assert stack.value(ANSWERS, kind="files", code="error") == len(Failure)
    assert stack.value(ANSWERS, kind="policy", code="error") == 0
    for failure in Failure:
        assert stack.value(ERRORS, kind="files", reason=failure.value) == 1
        assert stack.value(ERRORS, kind="policy", reason=failure.value) == 0


def test_the_time_of_answers_and_failures_is_taken() -> None:
    """In the buckets that decisions have."""
    stack = Stack()
    stack.series.answered(Kind.FILES, over=False, seconds=0.000_2)
    stack.series.failed(Kind.POLICY, Failure.STORE_UNAVAILABLE, seconds=0.03)
    assert stack.value(f"{DURATION}_count") == 2
    assert stack.value(f"{DURATION}_sum") == pytest.approx(0.030_2)
    assert stack.value(f"{DURATION}_bucket", le="0.0001") == 0
    assert stack.value(f"{DURATION}_bucket", le="0.00025") == 1
    assert stack.value(f"{DURATION}_bucket", le="0.05") == 2
    assert stack.value(f"{DURATION}_bucket", le=str(BUCKETS_SECONDS[-1])) == 2


def test_what_nobody_else_would_notice_is_counted() -> None:
    """A domain that no file has, and a refusal that was not one."""
    stack = Stack()
    stack.series.domain_unknown()
    for _ in range(2):
        stack.series.passed_in_shadow()
    assert stack.value("authz_ratelimit_unknown_domain_total") == 1
    assert stack.value("authz_ratelimit_shadow_answers_total") == 2


def test_refusals_of_json_are_counted_by_reason() -> None:
    """Under a name that is documented, with words that are."""
    series, registry = json_refusals(), CollectorRegistry()
    registry.register(series.collector)
    series.count(JsonRefusal.TIMEOUT)
    name = "authz_ratelimit_json_refused_total"
    for reason in JsonRefusal:
        expected = 1 if reason is JsonRefusal.TIMEOUT else 0
        assert registry.get_sample_value(name, {"reason": reason.value}) == expected
    assert f"| `{name}` |" in GUIDE


def test_every_label_value_is_documented() -> None:
    """Whoever writes a query finds all of them."""
    words = [*Kind, *Failure, *JsonRefusal, "ok", "over_limit", "error"]
    assert [word for word in words if f"`{word}`" not in GUIDE] == []
