"""What the page about Kubernetes says is what the manifests do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import K8S, Manifest, containers, of_kind, pod_spec
from tests.deploy.pod_security import violations
from tests.deploy.test_k8s_gates import schema_faults
from tests.deploy.tools import ROOT, tool

PAGE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
OPTIONS = K8S / "components" / "authz-sidecar" / "options" / "kustomization.yaml"


def section(title: str) -> str:
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^##+ ", PAGE.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def test_every_option_is_documented_as_it_is() -> None:
    """One row for each key, in its order, with its default."""
    (generator,) = yaml.safe_load(OPTIONS.read_text("utf-8"))["configMapGenerator"]
    documented = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \|", section("Options"), re.MULTILINE)

    assert documented == [tuple(it.split("=")) for it in generator["literals"]]


def test_every_option_goes_somewhere() -> None:
    """And nothing is filled in that is no option."""
    replacements = yaml.safe_load((OPTIONS.parents[1] / "replacements.yaml").read_text("utf-8"))
    (generator,) = yaml.safe_load(OPTIONS.read_text("utf-8"))["configMapGenerator"]
    keys = {it.partition("=")[0] for it in generator["literals"]}

    assert {it["source"]["fieldPath"].removeprefix("data.") for it in replacements} == keys


def test_every_check_that_is_not_asked_is_documented() -> None:
    """In the configuration and on the page they are the same."""
    skipped = yaml.safe_load((K8S / "checkov.yaml").read_text("utf-8"))["skip-check"]
    documented = re.findall(r"^\| (CKV_\w+) ", section("What judges the manifests"), re.MULTILINE)

    assert documented == skipped


def test_every_key_of_the_secret_is_documented() -> None:
    """Those of the sidecar and of the image service."""
    sidecars = (OPTIONS.parents[1] / "sidecars.yaml").read_text("utf-8")
    services = "".join((K8S / "base" / it).read_text("utf-8") for it in ("api.yaml", "worker.yaml"))
    asked = set(re.findall(r"key: ([A-Z_]+)", sidecars + services))
    documented = re.findall(r"^\| `(\w+)` \|", section("Rotate secrets"), re.MULTILINE)

    assert set(documented) == asked
    assert len(documented) == len(asked)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder that the page has its reader make."""
    for name, text in re.findall(r"```yaml (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text, "utf-8")
    shutil.copytree(K8S, tmp_path / "authz" / "k8s")
    (tmp_path / "k8s").symlink_to(tmp_path / "authz" / "k8s")
    return tmp_path


@pytest.mark.deploy
def test_the_commands_of_the_page_do_what_it_says(example: Path) -> None:
    """All that need no cluster, one after the other."""
    path = f"{tool('kubectl').parent}:{Path(sys.executable).parent}:/usr/bin:/bin"
    commands = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=example,
                env={"PATH": path, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
            assert (done.returncode, done.stderr) == (0, ""), command
            pattern = ".*".join(re.escape(part) for part in shown.split("..."))
            assert re.fullmatch(pattern, done.stdout, re.DOTALL), command
            commands += 1
    assert commands == 5


def rendered(folder: Path) -> list[Manifest]:
    """What the reader's folder renders to."""
    text = subprocess.run(
        [tool("kubectl"), "kustomize", folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    return list(yaml.safe_load_all(text))


@pytest.mark.deploy
def test_the_service_of_the_page_is_protected(example: Path, tmp_path: Path) -> None:
    """Its manifests are right, its pod is restricted, and its Service leads to Envoy."""
    objects = rendered(example)

    assert schema_faults(objects, tmp_path) == []
    spec = pod_spec(of_kind(objects, "Deployment")["notes"])
    assert list(violations(spec)) == []
    assert list(containers(spec)) == ["authz", "envoy", "notes"]
    (port,) = of_kind(objects, "Service")["notes"]["spec"]["ports"]
    assert port == {"name": "http", "port": 80, "targetPort": 8000}
    (secret,) = of_kind(objects, "Secret")
    (volume,) = [it for it in spec["volumes"] if it["name"] == "authz-secrets"]
    assert volume["secret"]["secretName"] == secret


@pytest.mark.deploy
def test_an_option_of_the_readers_own_is_followed(example: Path) -> None:
    """The override that the page shows, in the reader's own kustomization; the rest stays."""
    shown = yaml.safe_load(section("Options").partition("```yaml\n")[2].partition("```")[0])
    file = example / "kustomization.yaml"
    own = yaml.safe_load(file.read_text("utf-8"))
    own["configMapGenerator"] += shown["configMapGenerator"]
    file.write_text(yaml.safe_dump(own), "utf-8")

    spec = pod_spec(of_kind(rendered(example), "Deployment")["notes"])

    authz = containers(spec)["authz"]
    assert {"name": "AUTHZ_WORKERS", "value": "4"} in authz["env"]
    assert authz["resources"]["requests"] == {"cpu": "100m", "memory": "512Mi"}
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 20
