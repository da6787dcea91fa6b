"""Envoy, two workers in processes of their own, and a store that both reach through a relay."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from authz_service.envoyconf.model import EnvoySettings
from authz_service.envoyconf.render import render
from authz_service.settings import GrpcServer
from tests.conformance.storage.server import VALKEY, Server
from tests.integration.envoyconf.client import Answer
from tests.integration.envoyconf.envoy_process import (
    Envoy,
    eventually,
    local_settings,
    running,
    short_folder,
)
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for
from tests.integration.retries.relay import Relay

ROOT = Path(__file__).parents[3]
WORKERS = 2
KEY = "sk-of-the-retries"


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that runs."""

    envoy: Envoy
    relay: Relay
    store: Server
    workers: list["subprocess.Popen[bytes]"]

    def ask(self) -> Answer:
        """Send a request that costs one."""
        return self.envoy.public.send("GET", "/api/v1/images/limits", ("x-api-key", KEY))

    def charged(self) -> int:
        """Read from the store what all requests so far were charged."""
        [key] = self.store.admin.keys("authz:*:quota:per-day")
        value = self.store.admin.get(key)
        assert isinstance(value, bytes)
        _since, count = struct.unpack("<qq", value)
        return int(count)

    def wait_until_all_work(self) -> None:
        """Ask until each worker has charged, and so has its connection to the store."""
        eventually(lambda: self.ask().status == 200 and all(self.relay.charges))


@pytest.fixture
def stack(kind: GrpcServer) -> Iterator[Stack]:
    """Envoy in front of two workers."""
    folder = short_folder()
    with ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder)
        settings = _settings(folder)
        store = cleanup.enter_context(Server(VALKEY))
        upstream, relay = _servers(store, folder, cleanup)
        workers = [_worker(index, folder, kind) for index in range(WORKERS)]
        relay.workers += workers
        for worker in workers:
            cleanup.callback(_end, worker)
        envoy = cleanup.enter_context(running(render(policy_for(upstream), settings), settings))
        stack = Stack(envoy, relay, store, workers)
        stack.wait_until_all_work()
        yield stack


def _settings(folder: Path) -> EnvoySettings:
    sockets = tuple(str(folder / f"authz-{index}.sock") for index in range(WORKERS))
    return replace(local_settings(folder), authz_sockets=sockets)


def _servers(store: Server, folder: Path, cleanup: ExitStack) -> tuple[StubUpstream, Relay]:
    relay = Relay(store.socket, [folder / f"store-{index}.sock" for index in range(WORKERS)])
    upstream = StubUpstream()
    for server in (relay, upstream):
        server.start()
        cleanup.callback(server.stop)
    return upstream, relay


def _worker(index: int, folder: Path, kind: GrpcServer) -> "subprocess.Popen[bytes]":
    """Start a worker as the service does, with a way to the store of its own."""
    environment = {
        "AUTHZ_POLICY_FILE": str(ROOT / "image_service" / "policy.yaml"),
        "AUTHZ_RUN_DIR": str(folder),
        "AUTHZ_WORKERS": str(WORKERS),
        "AUTHZ_GRPC_SERVER": kind.value,
        "API_KEYS": json.dumps([{"key": KEY, "name": "Retries", "tier": "enterprise"}]),
        "REDIS_URL": f"unix://{folder}/store-{index}.sock",
        "CORS_ORIGINS": "",
    }
    command = [sys.executable, "-m", "authz_service", "worker", str(index)]
    return subprocess.Popen(command, env=environment, cwd=ROOT)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    worker.wait(10)


@pytest.fixture(params=GrpcServer)
def kind(request: pytest.FixtureRequest) -> GrpcServer:
    """Each test runs on both gRPC servers."""
    return GrpcServer(request.param)
