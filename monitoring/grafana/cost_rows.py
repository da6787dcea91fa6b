"""The rows about what the sidecar costs: the time of checks, and what it takes to run."""

from typing import Final

from grafana_foundation_sdk.models import units

from monitoring.grafana.panels import (
    Query,
    Row,
    graph,
    increase,
    mean,
    quantile,
    quantiles,
    rate,
    stacked,
)

CHECK: Final = "authz_decision_duration_seconds"
STAGE: Final = "authz_stage_duration_seconds"
REQUEST: Final = "imagen_http_request_duration_seconds"
ABANDONED: Final = 'authz_decisions_total{decision="abandoned"}'


def cost_rows() -> tuple[Row, ...]:
    """First what clients feel of it."""
    return (_time(), _running())


def _time() -> Row:
    return Row(
        "Time of a check",
        [
            graph(
                "Latency of a check",
                "From a decoded check to its answer, calls of the store included. Envoy waits"
                " 250 ms, then answers 503.",
                units.Seconds,
                *quantiles(CHECK),
                Query(mean(CHECK), "mean"),
            ),
            graph(
                "Median by stage",
                "`identify`: which route, and who; `meter`: what is left, the wait for the store"
                " included; `respond`: the answer.",
                units.Seconds,
                Query(quantile(0.5, STAGE, "stage"), "{{stage}}"),
            ),
            graph(
                "99th percentile by stage",
                "The slowest checks: `meter` is the store, `identify` signatures of tokens, and"
                " all of them together a processor that is busy.",
                units.Seconds,
                Query(quantile(0.99, STAGE, "stage"), "{{stage}}"),
            ),
            graph(
                "Checks given up",
                "Envoy waited no longer: the client left, or 250 ms were over and it got 503."
                " They may have been charged. Empty before the first one.",
                units.RequestsPerSecond,
                Query(rate(ABANDONED, "route"), "{{route}}"),
            ),
            graph(
                "Share of a request's time",
                "Time spent on checks, of the time that requests took altogether.",
                units.PercentUnit,
                Query(f"{rate(f'{CHECK}_sum')} / {rate(f'{REQUEST}_sum')}", "checks"),
            ),
            graph(
                "Checks at work",
                "How many checks were being decided at a time, on average.",
                units.Short,
                Query(rate(f"{CHECK}_sum"), "checks"),
            ),
        ],
    )


def _running() -> Row:
    return Row(
        "Processes of the sidecar",
        [
            stacked(
                "Processor time",
                "Processors kept busy, by the supervisor and by all workers together.",
                units.Short,
                Query(rate("authz_process_cpu_seconds_total", "process"), "{{process}}"),
            ),
            stacked(
                "Memory",
                "Resident, of the supervisor and of all workers together. Linux only.",
                units.BytesIEC,
                Query("sum by (process) (authz_process_resident_memory_bytes)", "{{process}}"),
            ),
            graph(
                "Releases that run",
                "Supervisors by their release; two lines for as long as a roll-out lasts.",
                units.Short,
                Query(
                    "count by (version, python) (authz_build_info)",
                    "{{version}}, Python {{python}}",
                ),
            ),
            graph(
                "Workers started anew",
                "In each interval. `died`: it ended; `hung`: it answered no longer and was killed.",
                units.Short,
                Query(increase("authz_worker_restarts_total", "reason"), "{{reason}}"),
            ),
            graph(
                "Parts left out of a scrape",
                "Workers or Envoy that did not tell their series in time, in each interval.",
                units.Short,
                Query(increase("authz_scrape_errors_total", "source"), "{{source}}"),
            ),
            graph(
                "Lines left out of the decision log",
                "In each interval: a worker writes 100 a second of denials, and of allows.",
                units.Short,
                Query(increase("authz_decision_log_left_out_total", "kind"), "{{kind}}"),
            ),
        ],
    )
