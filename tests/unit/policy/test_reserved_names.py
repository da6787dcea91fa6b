"""A policy cannot take the names of the routes that the rendering adds."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from authz_service.core.rules import RESERVED_ROUTE_NAMES
from authz_service.envoyconf.routes import route_configuration
from tests.unit.envoyconf.builders import default_policy, settings_in


def test_every_route_of_the_proxys_own_has_a_reserved_name(tmp_path: Path) -> None:
    """Rendered with all that adds routes, what is not the policy's is what is reserved."""
    policy = default_policy()
    settings = replace(settings_in(tmp_path), metrics_address=("127.0.0.1", 9102))
    rendered = cast("Any", route_configuration(policy, settings))
    names = {route["name"] for host in rendered["virtual_hosts"] for route in host["routes"]}

    assert names - {route.name for route in policy.routes} == RESERVED_ROUTE_NAMES
