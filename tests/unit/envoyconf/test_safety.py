"""Settings whose loss nobody would notice until it is too late."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_service.core.rules import Policy
from authz_service.envoyconf.command import command
from authz_service.envoyconf.model import duration
from authz_service.envoyconf.render import render_standalone
from tests.unit.envoyconf.builders import (
    FILE_LIMITS,
    OVERHEAD,
    default_policy,
    policy_with_global_limits,
    settings_in,
)

_SETTINGS = settings_in(Path("/run/authz"))
_POLICY = default_policy()
_EXT_AUTHZ = "envoy.filters.http.ext_authz"
_RATE_LIMIT = "envoy.filters.http.ratelimit"


def _document(policy: Policy) -> Any:  # noqa: ANN401
    return yaml.safe_load(render_standalone(policy, _SETTINGS))


def _listener(name: str, policy: Policy) -> dict[str, Any]:
    listeners: list[dict[str, Any]] = _document(policy)["static_resources"]["listeners"]
    return next(it for it in listeners if it["name"] == name)


def _manager(policy: Policy = _POLICY) -> dict[str, Any]:
    (chain,) = _listener("public", policy)["filter_chains"]
    manager: dict[str, Any] = chain["filters"][0]["typed_config"]
    return manager


def _filter(name: str, policy: Policy = _POLICY) -> dict[str, Any]:
    filters = {it["name"]: it["typed_config"] for it in _manager(policy)["http_filters"]}
    found: dict[str, Any] = filters[name]
    return found


def _cluster(name: str) -> dict[str, Any]:
    clusters: list[dict[str, Any]] = _document(_POLICY)["static_resources"]["clusters"]
    return next(it for it in clusters if it["name"] == name)


def test_the_filters_stand_in_order() -> None:
    """Times are written last, preflights need no credential, bodies wait for the tier."""
    assert [it["name"].rpartition(".")[2] for it in _manager()["http_filters"]] == [
        "response_headers",
        "cors",
        "ext_authz",
        "body_limit",
        "router",
    ]


def test_limits_over_all_callers_come_last() -> None:
    """Whom the authorizer refuses, and bodies that are too large, take nothing from everybody's."""
    names = [it["name"] for it in _manager(policy_with_global_limits())["http_filters"]]
    assert names[2:] == [_EXT_AUTHZ, "body_limit", _RATE_LIMIT, "envoy.filters.http.router"]


def test_without_limits_over_all_callers_nobody_is_asked_for_any() -> None:
    """There is no such filter, and none where all of its routes are in shadow."""
    for policy in (default_policy(), policy_with_global_limits(shadow=True)):
        assert _RATE_LIMIT not in {it["name"] for it in _manager(policy)["http_filters"]}


def test_a_failed_question_never_passes() -> None:
    """Closed, with 503; what a refusal says is the workers' business, and X-RateLimit-* is not."""
    settings = _filter(_RATE_LIMIT, policy_with_global_limits())
    assert settings["domain"] == "authz"
    assert settings["failure_mode_deny"] is True
    assert settings["status_on_error"] == {"code": "ServiceUnavailable"}
    assert settings["rate_limited_status"] == {"code": "TooManyRequests"}
    assert settings["enable_x_ratelimit_headers"] == "OFF"
    assert settings["disable_x_envoy_ratelimited_header"] is True


def test_a_question_is_put_like_a_check() -> None:
    """To the same workers, for as long, with the same retries; its ids go as metadata."""
    policy = policy_with_global_limits()
    settings = _filter(_RATE_LIMIT, policy)
    service = settings["rate_limit_service"]["grpc_service"]
    assert settings["timeout"] == service["timeout"] == "0.250s"
    assert service.pop("initial_metadata") == [
        {"key": "x-request-id", "value": "%REQ(X-REQUEST-ID)%"},
        {"key": "x-authz-once", "value": "%UNIQUE_ID%"},
    ]
    assert service == _filter(_EXT_AUTHZ, policy)["grpc_service"]


def test_one_try_of_a_check_may_take_all_its_time() -> None:
    """Envoy takes the longest back-off for the time limit of a try: they must be equal."""
    service = _filter(_EXT_AUTHZ)["grpc_service"]
    assert service["timeout"] == "0.250s"
    assert service["retry_policy"]["retry_back_off"]["max_interval"] == service["timeout"]


def test_a_check_is_sent_again_to_another_worker_when_the_first_one_dies() -> None:
    """Whatever a dying worker does to its checks is a reason; a late or wrong answer is none."""
    policy = _filter(_EXT_AUTHZ)["grpc_service"]["retry_policy"]
    assert policy["retry_on"] == "connect-failure,refused-stream,reset,unavailable"
    assert [it["name"] for it in policy["retry_host_predicate"]] == [
        "envoy.retry_host_predicates.previous_hosts"
    ]
    assert policy["num_retries"] == 3
    assert policy["host_selection_retry_max_attempts"] == 20  # fewer find the dead one again


def test_a_failed_check_never_passes() -> None:
    """Closed, with 503, and without a second look at the routes."""
    settings = _filter(_EXT_AUTHZ)
    assert settings["failure_mode_allow"] is False
    assert settings["status_on_error"] == {"code": "ServiceUnavailable"}
    assert settings["clear_route_cache"] is False
    assert settings["validate_mutations"] is True
    assert settings["encode_raw_headers"] is True


def test_the_body_is_not_sent_to_the_authorizer() -> None:
    """It would have to be held in memory before anyone knows whose it is."""
    assert "with_request_body" not in _filter(_EXT_AUTHZ)


def test_each_tier_has_its_file_and_the_overhead() -> None:
    """The smallest holds where no tier is known."""
    matcher = _filter("body_limit")["xds_matcher"]
    limits = {
        it["predicate"]["single_predicate"]["custom_match"]["typed_config"]["value"][
            "string_match"
        ]["exact"]: _limit(it["on_match"])
        for it in matcher["matcher_list"]["matchers"]
    }
    assert limits == {name: size + OVERHEAD for name, size in FILE_LIMITS.items()}
    assert _limit(matcher["on_no_match"]) == FILE_LIMITS["anonymous"] + OVERHEAD


def _limit(action: dict[str, Any]) -> int:
    executed = action["action"]["typed_config"]["typed_config"]["typed_config"]
    limit: int = executed["max_request_bytes"]
    return limit


def test_time_limits() -> None:
    """None is missing: a missing one is for ever."""
    manager = _manager()
    assert manager["request_headers_timeout"] == "10.000s"
    assert manager["request_timeout"] == "300.000s"
    assert manager["stream_idle_timeout"] == "35.000s"
    assert manager["common_http_protocol_options"]["idle_timeout"] == "620.000s"


def test_workers_are_watched_from_the_first_second() -> None:
    """With the default interval a worker that starts late waits a minute for its first request."""
    cluster = _cluster("authz")
    (check,) = cluster["health_checks"]
    assert check["no_traffic_interval"] == check["interval"] == "1.000s"
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}


@pytest.mark.parametrize("name", ["authz", "upstream"])
def test_breakers_are_set_on_purpose(name: str) -> None:
    """Envoy's own defaults look like an outage under load."""
    (threshold,) = _cluster(name)["circuit_breakers"]["thresholds"]
    limits = {"max_connections", "max_pending_requests", "max_requests", "max_retries"}
    assert limits <= set(threshold)


def test_the_scrape_listener_answers_under_overload() -> None:
    """That is when somebody looks."""
    listener = _listener("scrape", _POLICY)
    assert listener["bypass_overload_manager"] is True
    assert listener["ignore_global_conn_limit"] is True


def test_only_the_logger_of_running_requests_sees_them_start() -> None:
    """Any other would count or log each request twice."""
    loggers = {it["name"]: it["filter"] for it in _manager()["access_log"]}
    del loggers["in_progress"]
    assert set(loggers) == {"access_log", "finished"}
    for filter_ in loggers.values():
        assert filter_ == {"log_type_filter": {"types": ["DownstreamEnd"]}}


def test_the_command_line() -> None:
    """It silences the logger that would print the query of a refused upload."""
    line = command("/bin/envoy", Path("/run/bootstrap.yaml"), concurrency=3, drain_seconds=7)
    text = " ".join(line)
    assert line[0] == "/bin/envoy"
    assert "--config-path /run/bootstrap.yaml" in text
    assert "--concurrency 3" in text
    assert "--drain-time-s 7" in text
    assert "--component-log-level http:critical" in text
    assert "--disable-hot-restart" in text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "0.000s"), (5, "0.005s"), (250, "0.250s"), (60_000, "60.000s")]
)
def test_durations_are_exact(milliseconds: int, text: str) -> None:
    """Protobuf's JSON form, without a detour over floating point."""
    assert duration(milliseconds) == text
