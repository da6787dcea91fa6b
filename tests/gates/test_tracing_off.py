"""Traces that are off cost nothing: what makes spans is not imported, nor need it be installed.

Where the packages are installed, the Redis client imports those of OpenTelemetry's metrics by
itself: so it is looked for what makes and sends spans, and for imports that are refused.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIRE = """
import asyncio, sys
from pathlib import Path
import authz_service.cli, authz_service.worker, image_service.cli
from authz_service.app import build
from authz_service.configuration import load_configuration
from authz_service.observe.metrics import Metrics
from authz_service.observe.tracing import tracer_to
from authz_service.settings import load_settings
from authz_service.clock import SystemClock
from image_service.app import build as build_api, build_workshop
from image_service.settings import Settings

environment = {"AUTHZ_POLICY_FILE": "image_service/policy.yaml", "AUTHZ_RUN_DIR": "/tmp/x"}

async def wire():
    settings = load_settings(environment)
    tracer = tracer_to(settings.traces_go_to, clock=SystemClock())
    assert tracer is None
    build(settings, load_configuration(settings, environment), Metrics(), tracer)

asyncio.run(wire())
images = Settings.load({"REDIS_URL": "redis://127.0.0.1:1", "IMAGE_FILES_URL": "file:///tmp/x"})
for make in (build_api, build_workshop):
    make(images, clock=SystemClock(), folder=Path("/tmp"))
spans = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
print([it for it in sys.modules if it.startswith(spans) or it.endswith(".otel")])
"""
REFUSED = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
"""


@pytest.mark.parametrize("packages", ["", REFUSED], ids=["installed", "not installed"])
def test_nothing_that_makes_spans_is_imported(packages: str) -> None:
    """A worker, the API and the image worker are wired all the same."""
    found = subprocess.run(
        [sys.executable, "-c", packages + WIRE],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (found.stdout.strip(), found.returncode) == ("[]", 0), found.stderr
