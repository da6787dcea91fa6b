"""What the manifests mean: the ways in, the order of start and end, names that must fit."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from authz_service.commands.drain import GOODBYE
from authz_service.envoyconf.command import command
from authz_service.policy.sources import load_policy
from authz_service.settings import Settings, load_settings
from authz_service.transports.envoy_drain import FINISH_SECONDS
from image_service.settings import Settings as ImageSettings
from monitoring.prometheus import operator_rule
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    Manifest,
    container_ports,
    containers,
    kustomize,
    of_kind,
    overlay,
    pod_labels,
    pod_spec,
    references,
    selects,
    the,
    variables,
)
from tests.deploy.programs import TEAM
from tests.deploy.tools import ROOT

pytestmark = pytest.mark.deploy

DOOR = 8000
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
SCRAPED = {9102, 9901, 9103}
# Made beforehand and never applied with the manifests.
GIVEN = {
    "imagen-api-secrets": {"JWT_SECRET", "API_KEYS"},
    "imagen-redis-ca": {"counters-ca.pem", "jobs-ca.pem"},
}
POLICY_VARIABLES = {"CORS_ORIGINS", "TRUSTED_HOPS", "SHADOW"}
IMAGE_VARIABLES = set(
    re.findall(r'"(IMAGE_\w+|REDIS_URL|DEBUG)"', (ROOT / "image_service/settings.py").read_text())
)


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    """The objects of each overlay."""
    name: str = request.param
    return overlay(name)


def api(objects: list[Manifest]) -> Manifest:
    """The protected Deployment."""
    return the(objects, "Deployment", "imagen-api")


def environment(objects: list[Manifest], container: Manifest) -> dict[str, str]:
    """What a container's process sees, but for secrets that are made beforehand."""
    maps = of_kind(objects, "ConfigMap")
    merged = {}
    for source in container.get("envFrom", []):
        merged.update(maps[source["configMapRef"]["name"]]["data"])
    values = {k: v for k, v in variables(container).items() if isinstance(v, str)}
    return {**merged, **values}


def test_the_service_leads_to_envoy(objects: list[Manifest]) -> None:
    """To its public port, and to no other."""
    service = the(objects, "Service", "imagen-api")["spec"]

    assert [port["targetPort"] for port in service["ports"]] == [DOOR]
    assert selects({"matchLabels": service["selector"]}, pod_labels(api(objects)))
    envoy = containers(pod_spec(api(objects)))["envoy"]
    assert DOOR in [port["containerPort"] for port in envoy["ports"]]


def ways_in(objects: list[Manifest], labels: dict[str, str]) -> set[tuple[int, str]]:
    """The ports of a pod that network policies open, and for whom; without one all are open."""
    policies = [
        it["spec"]
        for it in of_kind(objects, "NetworkPolicy").values()
        if selects(it["spec"]["podSelector"], labels) and "Ingress" in it["spec"]["policyTypes"]
    ]
    assert policies, "every port is open"
    return {
        (port["port"], yaml.safe_dump(peer, default_flow_style=True, width=1000).strip())
        for policy in policies
        for rule in policy.get("ingress", [])
        for port in rule["ports"]
        for peer in rule.get("from", [{}])
    }


def test_network_policies_leave_no_way_around_envoy(objects: list[Manifest]) -> None:
    """Beside Envoy's port only metrics are open, and those for the monitoring namespace alone."""
    opened = ways_in(objects, pod_labels(api(objects)))

    assert {port for port, _ in opened} == {DOOR, *SCRAPED}
    monitoring = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}"
    assert {peer for port, peer in opened if port != DOOR} == {monitoring}


def test_one_option_says_who_scrapes(tmp_path: Path) -> None:
    """The sidecar's metrics and the application's own are open to the same namespace."""
    shutil.copytree(K8S, tmp_path / "k8s")
    prod = tmp_path / "k8s" / "overlays" / "prod"
    file = prod / "kustomization.yaml"
    own = yaml.safe_load(file.read_text("utf-8"))
    own["configMapGenerator"][0]["literals"].append("MONITORING_NAMESPACE=watch")
    file.write_text(yaml.safe_dump(own), "utf-8")

    policies = of_kind(yaml.safe_load_all(kustomize(prod)), "NetworkPolicy").values()
    peers = [
        peer["namespaceSelector"]["matchLabels"]
        for policy in policies
        for rule in policy["spec"].get("ingress", [])
        for peer in rule.get("from", [])
        if "namespaceSelector" in peer
    ]
    assert peers == [{"kubernetes.io/metadata.name": "watch"}] * 3


@pytest.mark.parametrize("name", ["shadow", "prod"])
def test_a_leaving_pod_serves_until_googles_load_balancer_has_heard(name: str) -> None:
    """Google's advice is 40 s of life; new connections are taken for 30 s of them."""
    objects = overlay(name)
    envoy = containers(pod_spec(api(objects)))["envoy"]
    drain_s = float(variables(envoy)["AUTHZ_DRAIN_SECONDS"])

    assert GOODBYE * drain_s >= 30
    draining = the(objects, "GCPBackendPolicy", "imagen-api")["spec"]["default"]
    assert draining["connectionDraining"]["drainingTimeoutSec"] == drain_s


@pytest.mark.parametrize("name", ["shadow", "prod"])
def test_in_production_only_the_load_balancer_reaches_envoy(name: str) -> None:
    """Two trusted hops are believed from nobody else."""
    objects = overlay(name)
    opened = ways_in(objects, pod_labels(api(objects)))

    google = {"{ipBlock: {cidr: 130.211.0.0/22}}", "{ipBlock: {cidr: 35.191.0.0/16}}"}
    assert {peer for port, peer in opened if port == DOOR} == google
    assert the(objects, "ConfigMap", "imagen-api-config")["data"]["TRUSTED_HOPS"] == "2"


def test_the_application_is_on_the_loopback_interface(objects: list[Manifest]) -> None:
    """Where Envoy looks for it, and nobody outside the pod can forge `x-authz-*` headers."""
    spec = pod_spec(api(objects))
    listen = ImageSettings.load(environment(objects, containers(spec)["api"])).listen
    policy = load_policy(ROOT / "image_service" / "policy.yaml", {})

    assert (listen.host, listen.port) == ("127.0.0.1", policy.upstream.port)
    assert listen.port not in container_ports(spec).values()


def test_the_application_cannot_reach_the_sockets(objects: list[Manifest]) -> None:
    """The run folder and the sidecar's secrets are mounted by those who need them."""
    mounted: dict[str, set[str]] = {}
    for name, container in containers(pod_spec(api(objects))).items():
        for mount in container.get("volumeMounts", []):
            mounted.setdefault(mount["name"], set()).add(name)

    assert mounted["authz-run"] == {"authz", "envoy"}
    assert mounted["authz-secrets"] == {"authz"}
    assert mounted["authz-policy"] == {"authz"}


def test_the_sidecars_have_no_token_of_kubernetes() -> None:
    """Where a container has a mount already, none is made, whatever the application's pod says."""
    (team,) = of_kind(yaml.safe_load_all(kustomize(TEAM)), "Deployment").values()
    spec = pod_spec(team)
    closed = {
        name: mount["name"]
        for name, container in containers(spec).items()
        for mount in container.get("volumeMounts", [])
        if mount["mountPath"] == TOKEN
    }
    (volume,) = [it for it in spec["volumes"] if it["name"] == "authz-nothing"]

    assert "automountServiceAccountToken" not in spec
    assert closed == {"authz": "authz-nothing", "envoy": "authz-nothing"}
    assert "emptyDir" in volume


def test_every_mounted_volume_is_there(objects: list[Manifest]) -> None:
    """And every volume is mounted."""
    for deployment in of_kind(objects, "Deployment").values():
        spec = pod_spec(deployment)
        mounted = {
            mount["name"]
            for container in containers(spec).values()
            for mount in container.get("volumeMounts", [])
        }
        assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_every_config_map_and_secret_is_there(objects: list[Manifest]) -> None:
    """With every key that is asked for and not optional."""
    there = {
        (kind, name): set(it.get("data", {})) | set(it.get("stringData", {}))
        for kind in ("ConfigMap", "Secret")
        for name, it in of_kind(objects, kind).items()
    }
    for name, keys in GIVEN.items():
        there.setdefault(("Secret", name), keys)

    missing = [
        (kind, name, key)
        for deployment in of_kind(objects, "Deployment").values()
        for kind, name, key, needed in references(pod_spec(deployment))
        if (kind, name) not in there or (needed and key and key not in there[kind, name])
    ]
    assert missing == []


def test_config_map_and_secret_are_those_of_the_contract() -> None:
    """By name and key; as they are in the repository nobody is let in."""
    config, secret = yaml.safe_load_all((ROOT / "k8s/base/config.yaml").read_text())

    assert config["metadata"]["name"] == "imagen-api-config"
    assert set(config["data"]) == {"REDIS_URL", "CORS_ORIGINS"}
    assert secret["metadata"]["name"] == "imagen-api-secrets"
    assert secret["stringData"] == {"JWT_SECRET": "", "API_KEYS": "[]"}


def test_the_sidecar_starts_with_its_variables(objects: list[Manifest], tmp_path: Path) -> None:
    """Each is a setting of the sidecar, and together they are right."""
    authz = containers(pod_spec(api(objects)))["authz"]
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert set(variables(authz)) <= known
    given = environment(objects, authz)
    assert set(given) <= known | POLICY_VARIABLES | IMAGE_VARIABLES

    for name, text in the(objects, "ConfigMap", "imagen-api-policy")["data"].items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "keys.json").write_text("[]", "utf-8")
    policy_file, keys_file = Path(given["AUTHZ_POLICY_FILE"]), Path(given["AUTHZ_KEYS_FILE"])
    mounts = {Path(mount["mountPath"]) for mount in authz["volumeMounts"]}
    assert {policy_file.parent, keys_file.parent, Path(given["AUTHZ_RUN_DIR"])} <= mounts
    there = {"AUTHZ_POLICY_FILE": policy_file.name, "AUTHZ_KEYS_FILE": keys_file.name}
    settings = load_settings({**given, **{k: str(tmp_path / v) for k, v in there.items()}})
    assert (settings.public_port, settings.scrape_port) == (DOOR, 9901)
    assert settings.operations_listen.port == 9102
    policy = load_policy(tmp_path / "policy.yaml", given)
    assert policy.cors_origins


@pytest.mark.parametrize(("name", "shadow"), [("dev", False), ("prod", False), ("shadow", True)])
def test_only_the_shadow_refuses_nothing(name: str, shadow: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Every route that decides at all is in shadow there, and none elsewhere."""
    objects = overlay(name)
    for file, text in the(objects, "ConfigMap", "imagen-api-policy")["data"].items():
        (tmp_path / file).write_text(text, "utf-8")
    given = environment(objects, containers(pod_spec(api(objects)))["authz"])

    routes = load_policy(tmp_path / "policy.yaml", given).routes
    decided = {route.shadow for route in routes if route.authentication.value != "none"}
    assert decided == {shadow}


def test_the_image_service_starts_with_its_variables(objects: list[Manifest]) -> None:
    """Each is a setting of it, and its metrics are where pods say that they are."""
    for deployment in of_kind(objects, "Deployment").values():
        for name, container in containers(pod_spec(deployment)).items():
            if name not in {"api", "worker"}:
                continue
            assert set(variables(container)) <= IMAGE_VARIABLES
            settings = ImageSettings.load(environment(objects, container))
            place = (
                settings.operations_listen if name == "api" else settings.worker_operations_listen
            )
            assert place.host == "0.0.0.0"
            assert [port["containerPort"] for port in container["ports"]] == [place.port]


def test_api_and_workers_share_jobs_and_files(objects: list[Manifest]) -> None:
    """A folder is shared within one pod only; else it is a store of objects."""
    parts = {
        name: (deployment["metadata"]["name"], environment(objects, container), container)
        for deployment in of_kind(objects, "Deployment").values()
        for name, container in containers(pod_spec(deployment)).items()
        if name in {"api", "worker"}
    }
    assert set(parts) == {"api", "worker"}
    (api_pod, api_sees, api_container), (worker_pod, worker_sees, worker_container) = (
        parts["api"],
        parts["worker"],
    )
    for name in ("IMAGE_FILES_URL", "IMAGE_QUEUE_URL"):
        assert api_sees[name] == worker_sees[name]
    if not api_sees["IMAGE_FILES_URL"].startswith("file://"):
        return
    assert api_pod == worker_pod
    folder = api_sees["IMAGE_FILES_URL"].removeprefix("file://")
    for container in (api_container, worker_container):
        assert folder in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_parts_start_in_order_when_the_one_before_is_up(objects: list[Manifest]) -> None:
    """The sidecar, then Envoy, then the application; each says itself when it is up."""
    spec = pod_spec(api(objects))
    assert [it["name"] for it in spec["initContainers"]] == ["authz", "envoy"]
    for container in containers(spec).values():
        named = {port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in named
    for sidecar in spec["initContainers"]:
        assert sidecar["restartPolicy"] == "Always"
    assert containers(spec)["envoy"]["startupProbe"]["httpGet"]["path"] == "/ready"
    assert containers(spec)["authz"]["startupProbe"]["httpGet"]["path"] == "/readyz"


def test_envoy_runs_as_everywhere(objects: list[Manifest]) -> None:
    """By the command line that the sidecar knows, from the file that it writes."""
    authz, envoy = (containers(pod_spec(api(objects)))[name] for name in ("authz", "envoy"))
    bootstrap = Path(variables(authz)["AUTHZ_RUN_DIR"]) / "bootstrap.yaml"

    assert envoy["command"] == command("envoy", bootstrap)
    assert variables(envoy)["AUTHZ_RUN_DIR"] == variables(authz)["AUTHZ_RUN_DIR"]
    same_user = {it["securityContext"]["runAsUser"] for it in (authz, envoy)}
    assert len(same_user) == 1


def test_a_pod_ends_without_losing_a_request(objects: list[Manifest]) -> None:
    """The application outlives Envoy's goodbye, and there is time for all that follows."""
    spec = pod_spec(api(objects))
    envoy = containers(spec)["envoy"]
    assert envoy["lifecycle"]["preStop"]["exec"]["command"] == ["authz_service", "drain"]
    # The first container is the application, whatever else is in the pod.
    application = containers(spec)["api"]
    lives_on = application["lifecycle"]["preStop"]["sleep"]["seconds"]
    goodbye = GOODBYE * float(variables(envoy)["AUTHZ_DRAIN_SECONDS"])

    assert lives_on >= goodbye + 1  # the hook that says goodbye has to start first
    own_drain_s = 25  # what the image API gives requests in hand
    last = float(variables(containers(spec)["authz"])["AUTHZ_DRAIN_SECONDS"]) + 2
    hooks = max(lives_on + own_drain_s, goodbye + FINISH_SECONDS)
    assert spec["terminationGracePeriodSeconds"] > hooks + last


def test_scaling_and_budgets_are_about_what_is_there(objects: list[Manifest]) -> None:
    """Autoscalers name Deployments that name no number of replicas; budgets select their pods."""
    deployments = of_kind(objects, "Deployment")
    for scaler in of_kind(objects, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        deployment = deployments[target["name"]]
        assert (target["apiVersion"], target["kind"]) == (deployment["apiVersion"], "Deployment")
        assert "replicas" not in deployment["spec"]
    for name, budget in of_kind(objects, "PodDisruptionBudget").items():
        assert selects(budget["spec"]["selector"], pod_labels(deployments[name]))
        # Else two pods that do not start keep a node from ever being emptied.
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("name", ["shadow", "prod"])
def test_every_part_is_scraped_under_the_name_that_alerts_know(name: str) -> None:
    """By ports that the pods name, and every port of metrics is one of them."""
    objects = overlay(name)
    deployments = of_kind(objects, "Deployment")
    jobs = set()
    scraped = set()
    for monitor_name, monitor in of_kind(objects, "PodMonitor").items():
        deployment = deployments[monitor_name]
        assert selects(monitor["spec"]["selector"], pod_labels(deployment))
        ports = container_ports(pod_spec(deployment))
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            scraped.add(ports[endpoint["port"]])
            jobs |= {it["replacement"] for it in endpoint["relabelings"]}

    assert scraped == SCRAPED | {9105}
    example = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yaml").read_text())
    assert jobs == {it["job_name"] for it in example["scrape_configs"]}
    assert set(re.findall(r'job="([\w-]+)"', operator_rule.text())) <= jobs


@pytest.mark.parametrize("name", ["shadow", "prod"])
def test_the_load_balancer_knows_the_service(name: str) -> None:
    """Routes, health checks and the firewall speak of the Service, and of a port that Envoy has."""
    objects = overlay(name)
    service = the(objects, "Service", "imagen-api")["spec"]
    gateway = the(objects, "Gateway", "imagen")["spec"]
    listeners = {it["name"] for it in gateway["listeners"]}
    for route in of_kind(objects, "HTTPRoute").values():
        assert {it["sectionName"] for it in route["spec"]["parentRefs"]} <= listeners
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                assert backend == {"name": "imagen-api", "port": service["ports"][0]["port"]}
    for kind in ("GCPBackendPolicy", "HealthCheckPolicy"):
        target = the(objects, kind, "imagen-api")["spec"]["targetRef"]
        assert (target["kind"], target["name"]) == ("Service", "imagen-api")
    asked = the(objects, "HealthCheckPolicy", "imagen-api")["spec"]["default"]["config"]
    assert asked["httpHealthCheck"]["port"] == DOOR
    path = asked["httpHealthCheck"]["requestPath"]
    policy = load_policy(ROOT / "image_service" / "policy.yaml", {})
    (health,) = [route for route in policy.routes if path in route.paths]
    assert health.authentication.value == "none"
