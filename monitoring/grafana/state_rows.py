"""The rows about the machinery: the store, what is in force, and jobs."""

from typing import Final

from grafana_foundation_sdk.models import units

from monitoring.grafana.panels import (
    WINDOW,
    Panel,
    Query,
    Row,
    graph,
    increase,
    mean,
    number,
    quantiles,
    rate,
    share,
    stacked,
)

STORE_CALLS: Final = "authz_store_calls_total"
EXPIRY: Final = "authz_tls_certificate_expiry_timestamp_seconds"
PROCESSING: Final = "imagen_job_processing_seconds"
UPLOADS: Final = "imagen_upload_file_size_bytes"
COMPLETED: Final = "imagen_jobs_completed_total"
_WEEK_S: Final = 7 * 24 * 60 * 60


def state_rows() -> tuple[Row, ...]:
    """From what decisions lean on to what comes after them."""
    return (_store(), _states(), _in_force(), _jobs())


def _store() -> Row:
    failed = f'{STORE_CALLS}{{outcome!="ok"}}'
    return Row(
        "Store and breaker",
        [
            graph(
                "Latency of the counter store",
                "Calls that were made, whatever came of them.",
                units.Seconds,
                *quantiles("authz_store_call_duration_seconds"),
            ),
            stacked(
                "Calls by outcome",
                "`skipped`: the circuit breaker kept the call from waiting.",
                units.OpsPerSecond,
                Query(rate(STORE_CALLS, "outcome"), "{{outcome}}"),
            ),
            graph(
                "Share of calls that failed or were skipped",
                "While it is not 0, routes do what their `on_store_failure` says.",
                units.PercentUnit,
                Query(share(rate(failed), rate(STORE_CALLS)), "error or skipped"),
            ),
            graph(
                "Fallback",
                "1 while the shared store, or a node of it, is left alone: it keeps failing.",
                units.Short,
                Query("max(authz_fallback_active)", "active"),
            ),
            graph(
                "Breakers that are open",
                "Nodes of the store that are left alone, by the worker with most of them.",
                units.Short,
                Query("max(authz_store_breaker_open)", "nodes"),
            ),
            graph(
                "Share of time without the store",
                "For how much of each interval workers left the store alone: the mean over them,"
                " and over instances. Sees also what was over before a scrape.",
                units.PercentUnit,
                Query(f"avg(rate(authz_fallback_seconds_total{WINDOW}))", "without"),
            ),
            graph(
                "Charges not counted in the shared store",
                "`local`: counted in one process only; `uncounted`: nowhere.",
                units.CountsPerSecond,
                Query(rate("authz_fallback_decisions_total", "scope"), "{{scope}}"),
            ),
            graph(
                "Denials told again from memory",
                "Refusals that needed no call of the store.",
                units.RequestsPerSecond,
                Query(rate("authz_store_denials_recalled_total"), "recalled"),
            ),
            graph(
                "Calls of the store for each check",
                "Near 1 where every route has limits; less where refusals are told from memory.",
                units.Short,
                Query(
                    f"{rate(STORE_CALLS)} / {rate('authz_decision_duration_seconds_count')}",
                    "calls",
                ),
            ),
        ],
    )


def _states() -> Row:
    return Row(
        "What is refused or away",
        [
            _state("Policy refused", "The newest policy, keys or peppers", "authz_policy_failed"),
            _state(
                "Descriptor files refused",
                "The newest descriptor files",
                "authz_ratelimit_files_failed",
            ),
            _state(
                "Envoy refuses its files",
                "The configuration written last",
                "authz_envoy_update_rejected",
            ),
            _state(
                "Certificates refused", "The newest certificate files", "authz_tls_reload_failed"
            ),
            number(
                "A certificate ends",
                "Whether the one that gateways are shown has less than a week. No data without"
                " TLS.",
                units.BoolYesNo,
                Query(f"max({EXPIRY} - time() < bool {_WEEK_S})", "ends"),
                bad=1,
            ),
            number(
                "Store left alone",
                "Whether the shared store, or a node of it, keeps failing and is not asked.",
                units.BoolYesNo,
                Query("max(authz_fallback_active)", "left alone"),
                bad=1,
            ),
            number(
                "Key store away",
                "Whether the key store does not answer. No data without one.",
                units.BoolYesNo,
                Query("1 - min(authz_key_store_up)", "away"),
                bad=1,
            ),
            number(
                "Policies in effect",
                "Two of them for the moment in which workers differ; more for longer: instances"
                " that were given different files.",
                units.Short,
                Query("count(count by (digest) (authz_policy_info))", "policies"),
                bad=2,
            ),
        ],
    )


def _in_force() -> Row:
    return Row(
        "Policy, keys, files and certificates",
        [*_loads(), *_key_store(), *_key_sets(), *_certificates()],
    )


def _loads() -> list[Panel]:
    policy = "time() - min(authz_policy_last_success_timestamp_seconds)"
    files = "time() - min(authz_ratelimit_files_last_success_timestamp_seconds)"
    return [
        graph(
            "Age of policy and descriptor files",
            "Of those in effect, since they were loaded, of the instance that is furthest behind.",
            units.Seconds,
            Query(policy, "policy"),
            Query(files, "descriptor files"),
        ),
        graph(
            "Policies read",
            "By every worker in each interval, with the keys that go with them.",
            units.Short,
            Query(increase("authz_policy_loads_total", "outcome"), "{{outcome}}"),
        ),
        graph(
            "Limits in descriptor files",
            "Of the instance with the fewest. 0: a folder that limits nothing. No data without"
            " one.",
            units.Short,
            Query("min(authz_ratelimit_rules_loaded)", "limits"),
        ),
    ]


def _key_store() -> list[Panel]:
    keys_read = "time() - min(authz_key_store_last_read_timestamp_seconds)"
    return [
        graph(
            "API keys known",
            "Those of the key store included; and records of it that do not count.",
            units.Short,
            Query("min(authz_keys_loaded)", "keys"),
            Query("max(authz_key_store_problems)", "records that do not count"),
        ),
        graph(
            "Age of the view of the key store",
            "Since it was last read to its end; after 1.5 s unknown keys are answered with 503.",
            units.Seconds,
            Query(keys_read, "key store"),
        ),
        graph(
            "Key store read as a whole, uses dropped",
            "In each interval. A dropped use is one that could not be noted.",
            units.Short,
            Query(increase("authz_key_store_reloads_total"), "read as a whole"),
            Query(increase("authz_key_store_uses_dropped_total"), "uses dropped"),
        ),
    ]


def _key_sets() -> list[Panel]:
    fetched = "authz_jwks_last_success_timestamp_seconds"
    lookups = "authz_token_cache_lookups_total"
    hits = f'{lookups}{{outcome="hit"}}'
    return [
        graph(
            "Tokens verified from memory",
            "Share of bearer tokens that had been verified before and are still good.",
            units.PercentUnit,
            Query(share(rate(hits), rate(lookups)), "hit"),
        ),
        graph(
            "Age of key sets",
            "Since a provider's keys were last fetched; providers never reached are not shown.",
            units.Seconds,
            Query(f"time() - min by (provider) ({fetched} > 0)", "{{provider}}"),
        ),
        graph(
            "Keys that may be relied on",
            "Fetched keys by provider. 0: tokens of the provider are answered with 503.",
            units.Short,
            Query("min by (provider) (authz_jwks_keys)", "{{provider}}"),
        ),
        graph(
            "Key sets fetched",
            "In each interval. `error`: no answer; `refused`: not a 200, compressed or too long;"
            " `unusable`: no key for us.",
            units.Short,
            Query(
                increase("authz_jwks_fetches_total", "provider", "outcome"),
                "{{provider}} {{outcome}}",
            ),
        ),
    ]


def _certificates() -> list[Panel]:
    return [
        graph(
            "Time until a certificate ends",
            "Of the one that gateways are shown, and of the instance whose ends first. No data"
            " without TLS.",
            units.Seconds,
            Query(f"min({EXPIRY}) - time()", "certificate"),
        ),
        graph(
            "Clients refused by their name",
            "Calls with a good certificate whose name AUTHZ_TLS_CLIENT_NAMES does not have, in"
            " each interval. No data without TLS.",
            units.Short,
            Query(increase("authz_tls_clients_refused_total"), "calls"),
        ),
    ]


def _jobs() -> Row:
    return Row(
        "Queue and jobs",
        [
            graph(
                "Jobs that wait",
                "All processes tell the same queue, so the greatest counts. A gap: the job store"
                " does not answer.",
                units.Short,
                Query("max by (queue_name) (imagen_queue_depth)", "{{queue_name}}"),
            ),
            graph(
                "Jobs taken and ended",
                "Ended slower than taken for long: the queue grows.",
                units.CountsPerSecond,
                Query(rate("imagen_jobs_created_total"), "taken"),
                Query(rate(COMPLETED, "status"), "{{status}}"),
            ),
            graph(
                "Share of jobs that failed",
                "Of those that ended; cancelled ones count as ended.",
                units.PercentUnit,
                Query(share(rate(f'{COMPLETED}{{status="failure"}}'), rate(COMPLETED)), "failed"),
            ),
            graph(
                "Processing time",
                "From the start of a job's last attempt to its success or failure.",
                units.Seconds,
                *quantiles(PROCESSING),
                Query(mean(PROCESSING), "mean"),
            ),
            graph(
                "Upload sizes",
                "Files that arrived whole, images or not.",
                units.BytesSI,
                *quantiles(UPLOADS),
                Query(mean(UPLOADS), "mean"),
            ),
            graph(
                "Bytes uploaded",
                "Of files that arrived whole.",
                units.BytesPerSecondSI,
                Query(rate(f"{UPLOADS}_sum"), "uploads"),
            ),
        ],
    )


def _state(title: str, what: str, series: str) -> Panel:
    return number(
        title,
        f"{what}: refused; what was in force stays. The log and `/readyz` say why.",
        units.BoolYesNo,
        Query(f"max({series})", "refused"),
        bad=1,
    )
