"""What checkov says of manifests and Dockerfiles: one run for both, as most of it is the start."""

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.images import DOCKERFILES
from tests.deploy.manifests import K8S, example, overlay, pod_spec, the
from tests.deploy.tools import ROOT, tool


@cache
def reports() -> dict[str, Any]:
    """A report for each kind of file, but for checks that our configuration explains away.

    Manifests are those of trial, production and examples, in a namespace each; beside them, in the
    namespace `bad`, is a container that may do everything.
    """
    trial = [{**it, "metadata": {**it["metadata"], "namespace": "dev"}} for it in overlay("dev")]
    bad = the(overlay("dev"), "Deployment", "redis")
    bad["metadata"]["namespace"] = "bad"
    pod_spec(bad)["containers"][0]["securityContext"] = {"privileged": True}
    examples = [*example("istio"), *example("envoy-gateway")]
    objects = [*trial, *overlay("prod"), *examples, bad]

    with tempfile.TemporaryDirectory(prefix="checkov-") as folder:
        manifests = Path(folder) / "objects.yaml"
        manifests.write_text(yaml.safe_dump_all(objects), "utf-8")
        files = [part for file in (manifests, *DOCKERFILES) for part in ("--file", file)]
        done = subprocess.run(
            [
                *(tool("checkov"), "--config-file", K8S / "checkov.yaml", "--skip-download"),
                *("--framework", "kubernetes", "dockerfile", "--compact", "--output", "json"),
                *files,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
    found = {it["check_type"]: it for it in json.loads(done.stdout)}
    assert found["kubernetes"]["summary"]["resource_count"] >= len(objects) / 2, done.stdout
    return found
