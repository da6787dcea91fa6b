"""Another team's Deployment with the sidecar component, run as it is rendered."""

import json
import signal
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.deploy.network import ADDRESS
from tests.deploy.pod import Pod, running, until_ready
from tests.deploy.programs import TEAM, Programs
from tests.deploy.rendered import Rendered, render
from tests.deploy.service import Service
from tests.e2e.processes import eventually
from tests.e2e.traffic import Traffic, while_it_flows

# Every one of them may be the first, and start a pod, on a busy machine.
pytestmark = [pytest.mark.deploy, pytest.mark.timeout(180)]

SHOP: Final = "shop"
KEY: Final = {"X-API-Key": "key-of-a-member"}
SUBJECT: Final = "key:member-1"
NO_HEADERS: Final[Mapping[str, str]] = {}
FORGED: Final = "key:forged"
POLICY: Final = "authz-policy"
ENOUGH: Final = 200  # requests, to say something of all


@dataclass(frozen=True, slots=True)
class Started:
    """A pod, and what was seen while it started."""

    pod: Pod
    order: list[str]
    was_ready: list[bool]


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    """What is sent to the cluster."""
    return render(TEAM)


@pytest.fixture(scope="module")
def started(rendered: Rendered, programs: Programs) -> Iterator[Started]:
    """One pod for all of these tests; each leaves it as it finds it."""
    pod = Pod(rendered, programs, deployment=SHOP, name="shop-steady")
    try:
        steps = [(container.name, pod.is_ready) for container in pod.start()]
        until_ready(pod)
        order, was_ready = zip(*steps, strict=True)
        yield Started(pod, list(order), list(was_ready))
    finally:
        pod.close()


@pytest.fixture
def pod(started: Started) -> Pod:
    """The pod."""
    return started.pod


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, and the headers that the application received, if it was asked."""

    status: int
    received: list[list[str]]

    def values(self, name: str) -> list[str]:
        """What the application received under a name."""
        return [value for key, value in self.received if key.lower() == name]


def ask(pod: Pod, path: str, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """One request to the pod's public port."""
    connection = pod.connection()
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body: dict[str, Any] = json.loads(response.read())
        return Reply(response.status, body.get("headers", []))
    finally:
        connection.close()


def test_the_application_starts_behind_its_door(started: Started) -> None:
    """The sidecar, Envoy, the team's own init container, the application; not ready before it."""
    assert started.order == ["authz", "envoy", "migrate", "web"]
    assert not any(started.was_ready[:-1])


def test_a_pod_whose_door_does_not_answer_is_not_ready(pod: Pod) -> None:
    """The application alone is not enough: with Envoy hung, no Service sends requests here."""
    envoy = pod.containers["envoy"].running
    until_ready(pod)

    envoy.send_signal(signal.SIGSTOP)
    try:
        is_ready = pod.is_ready
        assert pod.containers["web"].passes("readinessProbe")
    finally:
        envoy.send_signal(signal.SIGCONT)

    assert not is_ready
    until_ready(pod)


def test_who_has_no_key_is_refused_and_who_has_one_is_named(pod: Pod) -> None:
    """401 without; with one the application reads whose it is, and never sees the key."""
    assert ask(pod, "/orders").status == 401

    reply = ask(pod, "/orders", KEY)

    assert (reply.status, reply.values("x-authz-subject")) == (200, [SUBJECT])
    assert reply.values("x-api-key") == []


@pytest.mark.parametrize(
    ("path", "headers", "told"),
    [
        ("/orders", KEY, [SUBJECT]),
        ("/offers", {}, [f"anon:{ADDRESS}"]),
        ("/offers", KEY, [SUBJECT]),
        ("/news", {}, []),
        ("/news", KEY, []),
    ],
)
def test_nobody_says_himself_who_he_is(
    pod: Pod, path: str, headers: Mapping[str, str], told: list[str]
) -> None:
    """A client's own `x-authz-subject` reaches the application on no kind of route."""
    reply = ask(pod, path, {**headers, "X-Authz-Subject": FORGED})

    assert (reply.status, reply.values("x-authz-subject")) == (200, told)


def test_there_is_no_way_round_the_door(pod: Pod) -> None:
    """The application's own port is closed to whoever is not in the pod."""
    with pytest.raises(ConnectionRefusedError):
        pod.connection(8080).request("GET", "/orders")


def test_the_application_sees_nothing_of_the_sidecar(pod: Pod) -> None:
    """Sockets, policy and keys are where the sidecar has them, and nowhere in the application."""
    places = ["/run/authz", "/etc/authz/policy", "/etc/authz/secrets"]

    seen = {
        name: [pod.containers[name].run("ls", place).returncode == 0 for place in places]
        for name in ("authz", "envoy", "web")
    }

    assert seen == {
        "authz": [True, True, True],
        "envoy": [True, False, False],
        "web": [False, False, False],
    }


def test_a_changed_policy_holds_without_a_restart(pod: Pod) -> None:
    """The kubelet exchanges the ConfigMap's files: both sides follow, with the same processes."""
    text = (TEAM / "policy.yaml").read_bytes()
    assert ask(pod, "/orders").status == 401
    pod.remount(POLICY, {"policy.yaml": text.replace(b"required", b"none")})
    try:
        eventually(lambda: ask(pod, "/orders").status == 200)
    finally:
        pod.remount(POLICY, {"policy.yaml": text})

    eventually(lambda: ask(pod, "/orders").status == 401)
    assert all(pod.containers[name].running.poll() is None for name in ("authz", "envoy", "web"))


def test_one_option_decides_how_long_a_stop_takes(rendered: Rendered) -> None:
    """What the kustomization says reaches both hooks; the sidecar, stopped last, does not wait."""
    spec = rendered.pod(SHOP)
    authz, envoy, *_ = spec["initContainers"]
    told = [
        value
        for container in (authz, envoy)
        for name, value in rendered.environment(container, {}).items()
        if name == "AUTHZ_DRAIN_SECONDS"
    ]

    assert spec["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert told == ["0", "5"]


def test_a_stopped_pod_loses_no_request(pod: Pod, rendered: Rendered, programs: Programs) -> None:
    """It goes while requests go on, and a Service that notices late: each is answered."""
    with running(rendered, programs, deployment=SHOP, name="shop-leaving") as leaving:
        flowed = stopped_under_traffic(leaving, beside=pod)

    assert flowed.was_answered, flowed.outcomes
    assert flowed.outcomes["200"] > ENOUGH
    assert leaving.hook_codes == {"envoy": 0}


@pytest.mark.parametrize("name", ["web", "envoy"])
def test_without_one_of_its_hooks_a_stopped_pod_loses_requests(
    pod: Pod, rendered: Rendered, programs: Programs, name: str
) -> None:
    """What the test above has seen is owed to both `preStop`, the application's and Envoy's."""
    torn = without_hook(rendered, name)
    with running(torn, programs, deployment=SHOP, name="shop-torn") as leaving:
        flowed = stopped_under_traffic(leaving, beside=pod)

    assert flowed.outcomes["200"] > ENOUGH
    assert not flowed.was_answered


def without_hook(rendered: Rendered, name: str) -> Rendered:
    """The same, but one container is stopped without warning."""
    torn = Rendered(deepcopy(rendered.documents))
    (container,) = (
        it
        for it in (*torn.pod(SHOP)["initContainers"], *torn.pod(SHOP)["containers"])
        if it["name"] == name
    )
    del container["lifecycle"]
    return torn


def stopped_under_traffic(leaving: Pod, *, beside: Pod) -> Traffic:
    """What became of requests to a Service of two pods while one of them was stopped."""
    service = Service(leaving, beside)
    flowing = Traffic(service.connection, path="/orders", headers=KEY, pause_s=0.02)
    with while_it_flows(flowing):
        eventually(lambda: len(flowing.samples) > 50)
        service.stop(leaving)
    return flowing
