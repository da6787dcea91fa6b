"""The rows about requests: what clients see, and what the sidecar decides about it."""

from typing import Final

from grafana_foundation_sdk.models import units

from authz_service.core.failures import FAILURES
from monitoring.grafana.panels import (
    Query,
    Row,
    graph,
    mean,
    quantile,
    quantiles,
    rate,
    share,
    stacked,
)

REQUESTS: Final = "imagen_http_requests_total"
DURATION: Final = "imagen_http_request_duration_seconds"
DECISIONS: Final = "authz_decisions_total"
LIMITS: Final = "authz_limit_requests_total"
ANSWERS: Final = "authz_ratelimit_answers_total"

_FORBIDDEN: Final = "|".join(
    sorted(reason for reason, failure in FAILURES.items() if failure.status == 403)  # noqa: PLR2004
)


def request_rows() -> tuple[Row, ...]:
    """From the client inwards."""
    return (
        _traffic(),
        _errors(),
        _latency(),
        _decisions(),
        _refusals(),
        _limits(),
        _rate_limit_service(),
    )


def _traffic() -> Row:
    return Row(
        "Traffic",
        [
            stacked(
                "Requests by endpoint",
                "All requests as Envoy counted them, refused ones too. `other` has no route.",
                units.RequestsPerSecond,
                Query(rate(REQUESTS, "method", "endpoint"), "{{method}} {{endpoint}}"),
            ),
            stacked(
                "Requests by status",
                "What clients were answered. 499: the client went away before the answer.",
                units.RequestsPerSecond,
                Query(rate(REQUESTS, "status_code"), "{{status_code}}"),
            ),
            graph(
                "Requests in progress",
                "Requests that Envoy holds at the moment of the scrape.",
                units.Short,
                Query(
                    "sum by (endpoint) (imagen_http_requests_in_progress)",
                    "{{endpoint}}",
                ),
            ),
        ],
    )


def _errors() -> Row:
    ours = f'{REQUESTS}{{status_code=~"5.."}}'
    theirs = f'{REQUESTS}{{status_code=~"4.."}}'
    return Row(
        "Errors",
        [
            graph(
                "Share of requests answered with 5xx",
                "Our failures, over all endpoints. 503 is also what Envoy answers while the"
                " sidecar, the service behind it or a store that may not be missed is away.",
                units.PercentUnit,
                Query(share(rate(ours), rate(REQUESTS)), "5xx"),
            ),
            graph(
                "5xx by endpoint",
                "Which endpoints fail, and how. Empty while none does.",
                units.RequestsPerSecond,
                Query(rate(ours, "endpoint", "status_code"), "{{status_code}} {{endpoint}}"),
            ),
            graph(
                "4xx by endpoint",
                "What clients got wrong, or too much of: 404, 413, 415, 422, 429 and so on.",
                units.RequestsPerSecond,
                Query(rate(theirs, "endpoint", "status_code"), "{{status_code}} {{endpoint}}"),
            ),
        ],
    )


def _latency() -> Row:
    return Row(
        "Latency",
        [
            graph(
                "Time to the end of the answer",
                "Over all endpoints, as Envoy measured it: uploads, checks and the service"
                " behind included, the way to the client not.",
                units.Seconds,
                *quantiles(DURATION),
            ),
            graph(
                "99th percentile by endpoint",
                "An upload takes as long as the client takes to send it.",
                units.Seconds,
                Query(quantile(0.99, DURATION, "endpoint"), "{{endpoint}}"),
            ),
            graph(
                "Median by endpoint",
                "What half of all requests do not exceed.",
                units.Seconds,
                Query(quantile(0.5, DURATION, "endpoint"), "{{endpoint}}"),
            ),
        ],
    )


def _decisions() -> Row:
    shadow = "authz_shadow_decisions_total"
    return Row(
        "Decisions",
        [
            stacked(
                "Decisions by outcome",
                "Checks: allow, deny (401, 403), over_limit (429), unavailable (503), and abandoned"
                " ones, which Envoy gave up before they were answered.",
                units.RequestsPerSecond,
                Query(rate(DECISIONS, "decision"), "{{decision}}"),
            ),
            graph(
                "Refusals by reason",
                "Why checks were not allowed. The access log tells each one apart by its"
                " decision_id.",
                units.RequestsPerSecond,
                Query(rate(f'{DECISIONS}{{decision!="allow"}}', "reason"), "{{reason}}"),
            ),
            graph(
                "Routes in shadow",
                "What would have been answered where the policy only watches. Empty without"
                " such routes.",
                units.RequestsPerSecond,
                Query(rate(shadow, "route", "reason"), "{{route}} {{reason}}"),
            ),
        ],
    )


def _refusals() -> Row:
    denied = f'{DECISIONS}{{decision="deny",reason!~"{_FORBIDDEN}"}}'
    forbidden = f'{DECISIONS}{{decision="deny",reason=~"{_FORBIDDEN}"}}'
    over = f'{DECISIONS}{{decision="over_limit"}}'
    legend = "{{route}} {{tier}}"
    return Row(
        "Refusals by route and tier",
        [
            graph(
                "401: credential missing or not valid",
                "By route; the tier is empty, for nobody knows whose request it was.",
                units.RequestsPerSecond,
                Query(rate(denied, "route", "tier"), legend),
            ),
            graph(
                "403: not allowed",
                "Known callers without the tier, scope, kind of credential or network that the"
                " route asks for.",
                units.RequestsPerSecond,
                Query(rate(forbidden, "route", "tier"), legend),
            ),
            graph(
                "429: over a limit",
                "Rates, quotas, and addresses with too many bad credentials.",
                units.RequestsPerSecond,
                Query(rate(over, "route", "tier"), legend),
            ),
        ],
    )


def _limits() -> Row:
    near = f'{LIMITS}{{outcome="near"}}'
    over = f'{LIMITS}{{outcome="over"}}'
    strained = f'{LIMITS}{{outcome=~"near|over"}}'
    return Row(
        "Limits near exhaustion",
        [
            graph(
                "Share of requests near a limit or over it",
                "Less than a fifth of the limit was left. A limit that is often near is one that"
                " callers will ask about.",
                units.PercentUnit,
                Query(share(rate(strained, "limit"), rate(LIMITS, "limit")), "{{limit}}"),
            ),
            graph(
                "Near, by limit",
                "Requests that passed with less than a fifth of the limit left.",
                units.RequestsPerSecond,
                Query(rate(near, "limit"), "{{limit}}"),
            ),
            graph(
                "Over, by limit",
                "Requests that this limit refused, as the shared store counts.",
                units.RequestsPerSecond,
                Query(rate(over, "limit"), "{{limit}}"),
            ),
        ],
    )


def _rate_limit_service() -> Row:
    rules = "ratelimit_service_rate_limit"
    return Row(
        "Rate limit service",
        [
            stacked(
                "Answers",
                "Questions of ShouldRateLimit by what they were answered; `policy` asks for the"
                " policy's limits over all callers, `files` for limits by descriptor.",
                units.RequestsPerSecond,
                Query(rate(ANSWERS, "kind", "code"), "{{kind}} {{code}}"),
            ),
            graph(
                "Errors by reason",
                "Questions that got a gRPC status in place of an answer.",
                units.RequestsPerSecond,
                Query(rate("authz_ratelimit_errors_total", "reason"), "{{reason}}"),
            ),
            graph(
                "Questions nobody limits, or refuses in vain",
                "Of an unknown domain: a typo, most likely; the log has its name. In shadow: would"
                " have been over the limit but for AUTHZ_RATELIMIT_SHADOW.",
                units.RequestsPerSecond,
                Query(rate("authz_ratelimit_unknown_domain_total"), "unknown domain"),
                Query(rate("authz_ratelimit_shadow_answers_total"), "in shadow"),
            ),
            graph(
                "Time to an answer",
                "From a question to its answer, or to its end without one.",
                units.Seconds,
                *quantiles("authz_ratelimit_duration_seconds"),
                Query(mean("authz_ratelimit_duration_seconds"), "mean"),
            ),
            graph(
                "Hits over the limit, by rule",
                "Limits by descriptor; empty without descriptor files.",
                units.CountsPerSecond,
                Query(rate(f"{rules}_over_limit_total", "domain", "rule"), "{{domain}} {{rule}}"),
            ),
            graph(
                "Hits near the limit, by rule",
                "Hits that passed and came near it; empty without descriptor files.",
                units.CountsPerSecond,
                Query(rate(f"{rules}_near_limit_total", "domain", "rule"), "{{domain}} {{rule}}"),
            ),
        ],
    )
