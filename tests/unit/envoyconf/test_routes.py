"""The routes: their order, and what stands on each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from authz_service.core.rules import Authentication, Policy
from authz_service.envoyconf.model import ROUTES_FILE, EnvoySettings
from authz_service.envoyconf.render import render
from tests.unit.envoyconf.builders import default_policy, policy_with_global_limits, settings_in

_SETTINGS = settings_in(Path("/run/authz"))
_EXT_AUTHZ = "envoy.filters.http.ext_authz"


def _configuration(policy: Policy, settings: EnvoySettings = _SETTINGS) -> Any:  # noqa: ANN401
    return yaml.safe_load(render(policy, settings)[ROUTES_FILE])["resources"][0]


def _routes(policy: Policy, settings: EnvoySettings = _SETTINGS) -> list[dict[str, Any]]:
    (host,) = _configuration(policy, settings)["virtual_hosts"]
    routes: list[dict[str, Any]] = host["routes"]
    return routes


def test_the_policys_order_is_kept() -> None:
    """One entry a path, then preflights, then 405s, then the 404."""
    policy = default_policy()
    expected = [it.name for it in policy.routes for _ in it.paths]
    names = [it["name"] for it in _routes(policy)]
    assert names == [*expected, "preflight", *["method_not_allowed"] * len(expected), "not_found"]


def test_only_none_routes_and_envoys_own_answers_skip_the_check() -> None:
    """Every other route is checked under its own name."""
    policy = default_policy()
    none = {it.name for it in policy.routes if it.authentication is Authentication.NONE}
    for it in _routes(policy):
        settings = it["typed_per_filter_config"][_EXT_AUTHZ]
        if it["name"] in none | {"method_not_allowed", "not_found"}:
            assert settings["disabled"] is True
        else:
            extensions = settings["check_settings"]["context_extensions"]
            assert extensions == {"route": it["name"]}
            assert "disabled" not in settings


def test_what_skips_the_check_is_exact() -> None:
    """No prefix ever serves the application unchecked."""
    for it in _routes(default_policy()):
        unchecked = it["typed_per_filter_config"][_EXT_AUTHZ].get("disabled", False)
        if unchecked and "route" in it:
            assert set(it["match"]) <= {"path", "safe_regex", "headers"}


def test_every_route_has_an_endpoint_label() -> None:
    """A series without one would be lost."""
    for it in _routes(default_policy()):
        assert it["metadata"]["filter_metadata"]["authz_service"]["endpoint"]


def test_literal_characters_stay_literal() -> None:
    """A dot in a template is a dot."""
    policy = default_policy()
    changed = replace(policy.routes[2], paths=("/v1.0/{x}",))
    (pattern,) = [
        it["match"]["safe_regex"]["regex"]
        for it in _routes(replace(policy, routes=(changed,)))
        if it["name"] == "job"
    ]
    assert pattern == r"/v1\.0/[^/]+"


def test_no_route_to_an_application_keeps_credentials() -> None:
    """Every route that forwards removes them, the preflights' and the metrics' too."""
    local = replace(_SETTINGS, metrics_address=("127.0.0.1", 9102))
    forwarding = [it for it in _routes(default_policy(), local) if "route" in it]
    assert {it["name"] for it in forwarding} >= {"limits", "health", "preflight", "metrics"}
    for it in forwarding:
        assert it["request_headers_to_remove"] == ["x-api-key", "authorization"]


def test_a_route_in_shadow_refuses_no_credential_and_no_body() -> None:
    """The application gets its credentials, and bodies of any size; the others stay as they are."""
    policy = default_policy()
    upscale = replace(policy.routes[1], shadow=True)
    routes = _routes(replace(policy, routes=(policy.routes[0], upscale)))
    (shadowed,) = [it for it in routes if it["name"] == "upscale"]
    (enforced,) = [it for it in routes if it["name"] == "limits"]
    assert "request_headers_to_remove" not in shadowed
    assert shadowed["typed_per_filter_config"]["body_limit"]["disabled"] is True
    assert "body_limit" not in enforced["typed_per_filter_config"]


def test_a_route_names_its_limits_over_all_callers() -> None:
    """One descriptor a limit, in the policy's order; the other routes name none."""
    routes = {it["name"]: it.get("route", {}) for it in _routes(policy_with_global_limits())}
    assert routes["upscale"]["rate_limits"] == [
        {"actions": [{"generic_key": {"descriptor_key": "global_limit", "descriptor_value": name}}]}
        for name in ("total", "burst")
    ]
    assert [name for name, route in routes.items() if "rate_limits" in route] == ["upscale"]


def test_a_route_in_shadow_names_no_limits_over_all_callers() -> None:
    """Nothing may refuse there, and a filter that is asked would."""
    routes = _routes(policy_with_global_limits(shadow=True))
    assert not [it for it in routes if "rate_limits" in it.get("route", {})]


def test_without_origins_there_is_no_cors() -> None:
    """No policy and no preflight route: OPTIONS is a method like any other."""
    policy = replace(default_policy(), cors_origins=())
    assert "preflight" not in {it["name"] for it in _routes(policy)}
    (host,) = _configuration(policy)["virtual_hosts"]
    assert host["typed_per_filter_config"] == {}


def test_public_metrics_are_for_the_local_stack() -> None:
    """There is no such route unless the settings name where the series come from."""
    assert "metrics" not in {it["name"] for it in _routes(default_policy())}
    local = replace(_SETTINGS, metrics_address=("127.0.0.1", 9102))
    (metrics,) = [it for it in _routes(default_policy(), local) if it["name"] == "metrics"]
    assert metrics["match"]["path"] == "/metrics"
    assert metrics["route"] == {"cluster": "metrics"}


def test_the_upstream_is_the_policys_unless_told_otherwise() -> None:
    """A stack on one machine puts the application where there is a free port."""
    moved = replace(_SETTINGS, upstream_host="app.internal", upstream_port=81)
    for settings, expected, kind in (
        (_SETTINGS, ("127.0.0.1", 8080), "STATIC"),
        (moved, ("app.internal", 81), "STRICT_DNS"),
    ):
        (cluster,) = yaml.safe_load(render(default_policy(), settings)["cds.yaml"])["resources"]
        (group,) = cluster["load_assignment"]["endpoints"]
        address = group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        assert (address["address"], address["port_value"]) == expected
        assert cluster["type"] == kind
