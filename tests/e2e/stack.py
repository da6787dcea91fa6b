"""The real stack as a person starts it, on free ports, with keys enough for every test."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from authz_service.local.console import LOCAL_KEYS
from authz_service.local.ports import claims
from tests.e2e.client import Client

ROOT = Path(__file__).parents[2]
DEFAULT_POLICY = ROOT / "image_service" / "policy.yaml"
TIERS = ("free", "pro", "enterprise", "brief", "scarce")
KEYS_PER_TIER = 60
START_TIMEOUT_S = 60
INNER_PORTS = (
    "AUTHZ_SCRAPE_PORT",
    "AUTHZ_OPERATIONS_PORT",
    "IMAGE_OPERATIONS_PORT",
    "IMAGE_WORKER_OPERATIONS_PORT",
    "AUTHZ_ADMIN_PORT",
)

# A tier whose window passes while a test waits, and one whose day is short of requests.
EXTRA_TIERS = {
    "brief": {"rate": "2 per 2s", "quota": "1000/day", "max_upload": "64KiB"},
    "scarce": {"rate": "60/minute", "quota": "2/day", "max_upload": "64KiB"},
}


def default_policy() -> dict[str, Any]:
    """The policy of the image service, in a form that means the same in any folder."""
    policy: dict[str, Any] = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    policy["include"] = [str(DEFAULT_POLICY.with_name(name)) for name in policy["include"]]
    return policy


def default_policy_with_extra_tiers() -> dict[str, Any]:
    """The policy of the image service, and two tiers made for tests."""
    policy = default_policy()
    policy["tiers"] |= EXTRA_TIERS
    return policy


@dataclass
class Stack:
    """A running stack."""

    process: "subprocess.Popen[str]"
    run_dir: Path
    ports: Mapping[str, int]
    output: list[str] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)
    _numbers: dict[str, Iterator[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start reading what the stack prints."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def client(self) -> Client:
        """A client of the public port."""
        return Client(self._port("URL"))

    @property
    def scrape(self) -> Client:
        """A client of Envoy's own port."""
        return Client(self.ports["AUTHZ_SCRAPE_PORT"])

    @property
    def operations(self) -> Client:
        """A client of the sidecar's own port."""
        return Client(self.ports["AUTHZ_OPERATIONS_PORT"])

    @property
    def image_operations(self) -> Client:
        """A client of the image service's own port."""
        return Client(self.ports["IMAGE_OPERATIONS_PORT"])

    @property
    def image_worker_operations(self) -> Client:
        """A client of the image worker's own port."""
        return Client(self.ports["IMAGE_WORKER_OPERATIONS_PORT"])

    @property
    def admin(self) -> Client:
        """A client of the admin API, where a token is set."""
        return Client(self.ports["AUTHZ_ADMIN_PORT"])

    def fresh_key(self, tier: str = "pro") -> str:
        """A key that no other test has used."""
        number = next(self._numbers.setdefault(tier, count()))
        assert number < KEYS_PER_TIER, f"more keys of tier {tier} are needed"
        return key_name(tier, number)

    def fresh_address(self) -> str:
        """A loopback address that no other test has called from."""
        return f"127.0.1.{next(self._numbers.setdefault('address', count(1)))}"

    def wait_until_ready(self) -> None:
        """Wait for the banner."""
        if not self._ready.wait(START_TIMEOUT_S) or self.process.poll() is not None:
            raise AssertionError("the stack did not start:\n" + "\n".join(self.output))

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask the stack to stop; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """Stop the stack, if it has not ended by itself."""
        if self.process.poll() is None:
            self.stop()
        self.wait()

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _port(self, label: str) -> int:
        for line in self.output:
            if found := re.search(rf"^  {label} +http://localhost:(\d+)", line):
                return int(found[1])
        raise AssertionError(f"no line {label} in:\n" + "\n".join(self.output))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))
            if line.startswith("  Stop "):
                self._ready.set()
        self._ready.set()


def key_name(tier: str, number: int) -> str:
    """The key of a tier with this number."""
    return f"test-key-{tier}-{number}"


def api_keys() -> str:
    """`API_KEYS` with the keys of the local stack and many for tests."""
    made = [
        {"key": key_name(tier, number), "name": "test", "tier": tier, "id": f"{tier}-{number}"}
        for tier in TIERS
        for number in range(KEYS_PER_TIER)
    ]
    special = [
        {
            "key": "test-key-expired",
            "name": "t",
            "tier": "pro",
            "expires_at": "2020-01-01T00:00:00Z",
        },
        {"key": "test-key-disabled", "name": "t", "tier": "pro", "disabled": True},
        {"key": "test-key-reader", "name": "t", "tier": "pro", "scopes": ["jobs:read"]},
        {
            "key": "test-key-writer",
            "name": "t",
            "tier": "pro",
            "scopes": ["jobs:write", "jobs:read", "other"],
        },
        {"key": "test-key-twin-a", "name": "t", "tier": "free", "id": "twin-a", "subject": "twin"},
        {"key": "test-key-twin-b", "name": "t", "tier": "pro", "id": "twin-b", "subject": "twin"},
    ]
    return json.dumps([*LOCAL_KEYS, *made, *special])


def start(run_dir: Path, environment: Mapping[str, str]) -> Stack:
    """Start a stack; it may still fail to come up."""
    with claims() as claim:
        ports = {name: claim(0, purpose="tests", setting=name) for name in INNER_PORTS}
    process = subprocess.Popen(
        [sys.executable, "-m", "authz_service", "local"],
        cwd=ROOT,
        env={
            **os.environ,
            "PORT": "0",
            "AUTHZ_APP_PORT": "0",
            **{name: str(port) for name, port in ports.items()},
            "AUTHZ_RUN_DIR": str(run_dir),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Stack(process, run_dir, ports)


@contextmanager
def running(policy: Mapping[str, Any] | None = None, /, **environment: str) -> Iterator[Stack]:
    """A stack that answers, stopped at the end; under the default policy unless told otherwise."""
    # A Unix socket's path holds 107 bytes; pytest's own folders can be longer than that.
    with tempfile.TemporaryDirectory(prefix="e2e-") as folder:
        file = Path(folder) / "policy.yaml"
        content = default_policy_with_extra_tiers() if policy is None else policy
        file.write_text(json.dumps(content), encoding="utf-8")  # YAML, and no aliases
        made = {"AUTHZ_POLICY_FILE": str(file), "API_KEYS": api_keys()}
        stack = start(Path(folder), made | environment)
        try:
            stack.wait_until_ready()
            yield stack
        finally:
            stack.close()
