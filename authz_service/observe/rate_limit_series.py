"""What became of the questions of `ShouldRateLimit`. No label holds a domain: clients choose it."""

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from authz_service.observe.buckets import BUCKETS_SECONDS
from authz_service.observe.reasons import Reasons

_OK: Final = "ok"
_OVER_LIMIT: Final = "over_limit"
_ERROR: Final = "error"


class Kind(StrEnum):
    """Whose limits a question is about, as the label `kind` names it."""

    POLICY = "policy"  # the limits over all callers
    FILES = "files"  # every other domain


class Failure(StrEnum):
    """Why a question got a status in place of an answer, as the label `reason` names it."""

    NO_DOMAIN = "no_domain"
    NO_DESCRIPTORS = "no_descriptors"
    NO_RULES = "no_rules"
    TOO_LARGE = "too_large"
    INVALID = "invalid"  # it asks for what nobody can count
    STORE_UNAVAILABLE = "store_unavailable"
    CANCELLED = "cancelled"  # whoever asked did not wait for it
    INTERNAL_ERROR = "internal_error"


class JsonRefusal(StrEnum):
    """Why a question in JSON got a 400, as the label `reason` names it."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    POLICY_DOMAIN = "policy_domain"
    TIMEOUT = "timeout"
    UNANSWERED = "unanswered"  # there was no worker, or the worker had no answer


class RateLimitSeries:
    """The questions that reached this process, whoever brought them.

    Whatever can be counted is there from the start: an increase from nothing would not show.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        answers = Counter(
            "authz_ratelimit_answers_total",
            "Questions of ShouldRateLimit, by what they were answered.",
            ("kind", "code"),
            registry=registry,
        )
        self._ok = {kind: answers.labels(kind.value, _OK) for kind in Kind}
        self._over = {kind: answers.labels(kind.value, _OVER_LIMIT) for kind in Kind}
        self._unanswered = {kind: answers.labels(kind.value, _ERROR) for kind in Kind}
        errors = Counter(
            "authz_ratelimit_errors_total",
            "Questions of ShouldRateLimit without an answer, by the reason.",
            ("kind", "reason"),
            registry=registry,
        )
        self._errors = {
            (kind, failure): errors.labels(kind.value, failure.value)
            for kind in Kind
            for failure in Failure
        }
        self._duration = Histogram(
            "authz_ratelimit_duration_seconds",
            "Time from a question of ShouldRateLimit to its answer, or to its end without one.",
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._unknown_domains = Counter(
            "authz_ratelimit_unknown_domain_total",
            "Questions of ShouldRateLimit for a domain that no file has: nothing limits them.",
            registry=registry,
        )
        self._shadows = Counter(
            "authz_ratelimit_shadow_answers_total",
            "Answers of ShouldRateLimit that refuse nobody because AUTHZ_RATELIMIT_SHADOW is on.",
            registry=registry,
        )

    def answered(self, kind: Kind, *, over: bool, seconds: float) -> None:
        """A question was answered, after so many seconds."""
        (self._over if over else self._ok)[kind].inc()
        self._duration.observe(seconds)

    def passed_in_shadow(self) -> None:
        """An answer would have refused, and did not because none does."""
        self._shadows.inc()

    def failed(self, kind: Kind, failure: Failure, *, seconds: float) -> None:
        """A question had no answer, which was clear after so many seconds."""
        self._unanswered[kind].inc()
        self._errors[kind, failure].inc()
        self._duration.observe(seconds)

    def domain_unknown(self) -> None:
        """A question was for a domain that no file has."""
        self._unknown_domains.inc()


def json_refusals() -> Reasons[JsonRefusal]:
    """Questions in JSON that were refused before a worker had them, or that it had no answer to."""
    return Reasons(
        "authz_ratelimit_json_refused_total",
        "Questions in JSON answered with 400, by the reason.",
        JsonRefusal,
    )
