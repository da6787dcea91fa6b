"""What the stack is made of: the command of each part, and the question that it must answer."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from authz_service.envoyconf.command import command as envoy_command
from authz_service.envoyconf.model import BOOTSTRAP_FILE
from authz_service.errors import EnvoyError
from authz_service.local import binaries
from authz_service.local.console import LOCAL_KEYS
from authz_service.local.ports import LOOPBACK
from authz_service.local.probes import http_ok, valkey_ok
from authz_service.run_folder import ADMIN_SOCKET
from authz_service.supervise.process import Part
from authz_service.transports.envoy_drain import FINISH_SECONDS, drain_envoy
from authz_service.transports.probe import is_serving

_TLS = (
    *("AUTHZ_TLS_CERT_FILE", "AUTHZ_TLS_KEY_FILE"),
    *("AUTHZ_TLS_CLIENT_CA_FILE", "AUTHZ_TLS_CLIENT_NAMES"),
)

# Secrets go to the sidecar and to nobody else.
_SYSTEM = frozenset({"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL"})
_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"
_IMAGE_SERVICE = frozenset({"IMAGE_QUEUE_LIMIT", "DEBUG", "PYTHONPATH", _TRACES})
_IMAGE_WORKER = frozenset({"IMAGE_WORKERS", "DEBUG", "PYTHONPATH", _TRACES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything of one stack is."""

    run_dir: Path
    policy_file: Path
    public_port: int
    scrape_port: int
    app_port: int
    authz_operations_port: int = 0
    image_operations_port: int = 0
    image_worker_operations_port: int = 0
    all_metrics_port: int = 0
    admin_port: int = 0
    workers: int = 2
    environment: Mapping[str, str]

    @property
    def valkey_socket(self) -> Path:
        """Where the counters live."""
        return self.run_dir / "valkey.sock"

    @property
    def queue_socket(self) -> Path:
        """Where the jobs of the image service live."""
        return self.run_dir / "queue.sock"

    @property
    def image_stores(self) -> Mapping[str, str]:
        """Where every process of the image service finds jobs and files."""
        return {
            "IMAGE_QUEUE_URL": f"unix://{self.queue_socket}",
            "IMAGE_FILES_URL": (self.run_dir.absolute() / "files").as_uri(),
        }

    @property
    def envoy_admin(self) -> Path:
        """Where Envoy is told things."""
        return self.run_dir / ADMIN_SOCKET

    @property
    def authz_sockets(self) -> list[Path]:
        """Where Envoy asks."""
        return [self.run_dir / f"authz-{index}.sock" for index in range(self.workers)]


def valkey(layout: Layout) -> Part:
    """The counter store: in memory only, on a Unix socket only."""
    return _valkey(layout, "Valkey", layout.valkey_socket, ("--appendonly", "no"))


def queue(layout: Layout) -> Part:
    """The store of jobs: what it was told is on the disk before it says so."""
    return _valkey(
        layout,
        "Queue",
        layout.queue_socket,
        (
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--appenddirname", "queue"),
            *("--maxmemory-policy", "noeviction"),
        ),
    )


def _valkey(layout: Layout, name: str, socket: Path, keeps: tuple[str, ...]) -> Part:
    log = socket.with_suffix(".log")
    return Part(
        name=name,
        command=(
            str(binaries.valkey()),
            *("--port", "0"),
            *("--unixsocket", str(socket)),
            *("--unixsocketperm", "700"),
            *("--save", ""),
            *keeps,
            *("--dir", str(layout.run_dir)),
            *("--loglevel", "warning"),
            *("--logfile", str(log)),
        ),
        ready=lambda: valkey_ok(socket),
        environment=_only(layout.environment, _SYSTEM),
        log=log,
    )


def authz(layout: Layout) -> Part:
    """The sidecar. It also writes the configuration that Envoy starts from."""
    return Part(
        name="authz_service",
        command=(sys.executable, "-m", "authz_service", "serve"),
        ready=lambda: _all_serving(layout),
        environment={
            "API_KEYS": json.dumps(LOCAL_KEYS),
            **layout.environment,  # whole, because policies name variables of their own
            "AUTHZ_GRPC_LISTEN": "",
            **dict.fromkeys(_TLS, ""),  # Envoy asks through sockets
            "AUTHZ_WORKERS": str(layout.workers),
            "AUTHZ_DRAIN_SECONDS": "0",  # Envoy has gone before
            "AUTHZ_POLICY_FILE": str(layout.policy_file),
            "AUTHZ_RUN_DIR": str(layout.run_dir),
            "AUTHZ_PUBLIC_HOST": LOOPBACK,
            "PORT": str(layout.public_port),
            "AUTHZ_SCRAPE_HOST": LOOPBACK,
            "AUTHZ_SCRAPE_PORT": str(layout.scrape_port),
            "AUTHZ_UPSTREAM": f"{LOOPBACK}:{layout.app_port}",
            "AUTHZ_OPERATIONS_LISTEN": f"{LOOPBACK}:{layout.authz_operations_port}",
            "AUTHZ_PUBLIC_METRICS": f"{LOOPBACK}:{layout.all_metrics_port}",
            "AUTHZ_ADMIN_LISTEN": f"{LOOPBACK}:{layout.admin_port}",
            "REDIS_URL": f"unix://{layout.valkey_socket}",
            "AUTHZ_KEYS_URL": f"unix://{layout.valkey_socket}",
        },
    )


async def _all_serving(layout: Layout) -> bool:
    answers = [await is_serving(f"unix:{socket}") for socket in layout.authz_sockets]
    return all(answers)


def image_service(layout: Layout) -> Part:
    """The protected application."""
    return Part(
        name="image_service",
        command=(sys.executable, "-m", "image_service", "serve"),
        ready=lambda: http_ok(layout.app_port, "/readyz"),
        environment={
            **_only(layout.environment, _SYSTEM | _IMAGE_SERVICE),
            **layout.image_stores,
            "IMAGE_LISTEN": f"{LOOPBACK}:{layout.app_port}",
            "IMAGE_OPERATIONS_LISTEN": f"{LOOPBACK}:{layout.image_operations_port}",
        },
        stop_timeout_s=35.0,
    )


def image_worker(layout: Layout) -> Part:
    """What works on the images, beside the application that takes them."""
    port = layout.image_worker_operations_port
    return Part(
        name="image_worker",
        command=(sys.executable, "-m", "image_service", "work"),
        ready=lambda: http_ok(port, "/readyz"),
        environment={
            **_only(layout.environment, _SYSTEM | _IMAGE_WORKER),
            **layout.image_stores,
            "IMAGE_WORKER_OPERATIONS_LISTEN": f"{LOOPBACK}:{port}",
        },
        stop_timeout_s=35.0,
    )


def envoy(layout: Layout) -> Part:
    """The public door. Its standard output is the access log."""
    bootstrap = layout.run_dir / BOOTSTRAP_FILE
    return Part(
        name="Envoy",
        command=envoy_command(str(binaries.envoy()), bootstrap),
        ready=lambda: http_ok(layout.scrape_port, "/ready"),
        environment=_only(layout.environment, _SYSTEM),
        stdout=PIPE,
        before_stop=lambda: _drain(layout),
    )


async def _drain(layout: Layout) -> None:
    """Nobody needs time to notice: whoever asks a local stack to stop is its only client."""
    with suppress(EnvoyError):
        await asyncio.to_thread(
            drain_envoy, layout.envoy_admin, notice_s=0, finish_s=FINISH_SECONDS
        )


def _only(environment: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in names}
