"""`authz_service serve` as its own process, with a store and no Envoy in front."""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import grpc
import pytest

from authz_service.wire.services import (
    AUTHORIZATION_SERVICE,
    CheckRequest,
    CheckResponse,
    HealthCheckRequest,
    HealthCheckResponse,
    HealthStub,
)
from tests.conformance.storage.server import VALKEY, Server
from tests.e2e.client import Client
from tests.e2e.processes import eventually
from tests.e2e.stack import default_policy

ROOT = Path(__file__).parents[3]
WORKERS = 2
KEY = "key-of-the-supervised"


@dataclass
class Service:
    """A service that was started, and where it is to be asked."""

    process: "subprocess.Popen[str]"
    run_dir: Path
    operations: Client

    def socket(self, index: int) -> Path:
        """Where a worker listens."""
        return self.run_dir / f"authz-{index}.sock"

    def wait_until_ready(self) -> None:
        """Wait until each worker serves."""
        eventually(lambda: all(self.health(index) == "SERVING" for index in range(WORKERS)))

    def health(self, index: int) -> str | None:
        """What a worker says of itself; None if it is not there."""
        question = HealthCheckRequest(service=AUTHORIZATION_SERVICE)
        with grpc.insecure_channel(f"unix:{self.socket(index)}") as channel:
            try:
                answer = HealthStub(channel).Check(question, timeout=1)  # type: ignore[no-untyped-call]
            except grpc.RpcError:
                return None
        return HealthCheckResponse.ServingStatus.Name(answer.status)

    def check(self, index: int, key: str = KEY) -> bool:
        """Whether a worker lets a good request pass."""
        return self.status(index, key) == HTTPStatus.OK

    def status(self, index: int, key: str) -> int:
        """What a worker has Envoy answer to a request with this key."""
        with grpc.insecure_channel(f"unix:{self.socket(index)}") as channel:
            ask = channel.unary_unary(
                f"/{AUTHORIZATION_SERVICE}/Check",
                request_serializer=CheckRequest.SerializeToString,
                response_deserializer=CheckResponse.FromString,
            )
            answer: CheckResponse = ask(good_request(key), timeout=5)
        return answer.denied_response.status.code or HTTPStatus.OK

    def wait(self) -> tuple[int, list[str]]:
        """Wait for the end; the exit code and all that was printed."""
        output, _ = self.process.communicate(timeout=40)
        return self.process.returncode, output.splitlines()


def good_request(key: str) -> CheckRequest:
    """What Envoy asks for a request with a good key."""
    request = CheckRequest()
    request.attributes.context_extensions["route"] = "limits"
    http = request.attributes.request.http
    http.method, http.path = "GET", "/api/v1/images/limits"
    http.header_map.headers.add(key="x-api-key", raw_value=key.encode())
    return request


class Start(Protocol):
    """How a service is started."""

    def __call__(self, drain_seconds: str, **more: str) -> Service:
        """A service that drains for so many seconds, with `more` in its environment."""


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path: a Unix socket's holds 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="serve-") as folder:
        yield Path(folder)


@pytest.fixture
def server() -> Iterator[Server]:
    """Where counters and keys live."""
    with Server(VALKEY) as server:
        yield server


@pytest.fixture
def start(run_dir: Path, server: Server) -> Iterator[Start]:
    """Start a service that drains for so many seconds."""
    with ExitStack() as cleanup:

        def begin(drain_seconds: str, **more: str) -> Service:
            service = _service(run_dir, server.url, {"AUTHZ_DRAIN_SECONDS": drain_seconds, **more})
            cleanup.callback(_end, service.process)
            return service

        yield begin


def _policy(folder: Path) -> Path:
    """The default policy, under which a test may ask for bad keys again and again."""
    file = folder / "policy.yaml"
    file.write_text(json.dumps(default_policy() | {"bad_credentials": "1000/second"}), "utf-8")
    return file


def _service(run_dir: Path, store_url: str, more: Mapping[str, str]) -> Service:
    port = free_port()
    environment = {
        "AUTHZ_POLICY_FILE": str(_policy(run_dir)),
        "AUTHZ_RUN_DIR": str(run_dir),
        "AUTHZ_WORKERS": str(WORKERS),
        "AUTHZ_OPERATIONS_LISTEN": f"127.0.0.1:{port}",
        "API_KEYS": json.dumps([{"key": KEY, "name": "test", "tier": "enterprise"}]),
        "REDIS_URL": store_url,
        "AUTHZ_KEYS_URL": store_url,
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "authz_service", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Service(process, run_dir, Client(port))


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
