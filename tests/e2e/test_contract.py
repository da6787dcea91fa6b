"""The contract keeps its word: schemathesis asks a real stack whatever `openapi.json` allows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import ROOT, Stack, default_policy, running

CONFIGURATION = Path(__file__).parent / "contract" / "schemathesis.toml"
# More than any request of the run can use up.
NO_LIMIT = "100000000/minute"


def generous_policy() -> dict[str, Any]:
    """The policy of the image service, with limits that nobody reaches."""
    policy = default_policy()
    policy.pop("include")
    policy["bad_credentials"] = "1000/second"
    for tier in policy["tiers"].values():
        tier |= {"rate": NO_LIMIT, "quota": "1000000000/day"}
    for route in policy["routes"]:
        route.pop("global_limits", None)
        if route["name"] in {"job", "job-result"}:
            route["limits"] = [{"name": "jobs", "rate": NO_LIMIT}]
    return policy


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack that never says 429, and takes every upload."""
    keys = f'[{{"key": "{KEY}", "name": "contract", "tier": "pro"}}]'
    with running(generous_policy(), API_KEYS=keys, IMAGE_QUEUE_LIMIT="10000") as started:
        yield started


KEY = "test-key-contract"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_the_contract_allows_is_answered_as_it_says(stack: Stack, tmp_path: Path) -> None:
    """Good requests and bad, each route and each link: status, headers and body are as told."""
    url = f"http://127.0.0.1:{stack.client.port}/openapi.json"
    script = Path(sys.executable).with_name("st")
    done = subprocess.run(
        [str(script), "--config-file", str(CONFIGURATION), "run", url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CONTRACT_KEY": KEY},
        capture_output=True,
        check=False,
    )
    told = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, told

    # A run in which nothing was ever accepted would have shown nothing.
    metrics = stack.image_operations.get("/metrics").body.decode()
    jobs = re.search(r'^imagen_jobs_created_total{job_type="upscale"} (\d+)', metrics, re.MULTILINE)
    assert jobs is not None
    assert int(jobs[1]) > 100
    assert re.search(r"API Links: +1[0-9] covered", told)
