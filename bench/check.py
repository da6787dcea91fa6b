"""CPU of the Python process for one check, measured with h2load on a real worker.

    python bench/check.py

Starts Valkey and one worker at a time, sends it checks of one API key over its Unix socket, and
reads the worker's processor time from /proc. Compare rows of one run: machines and moments differ.
Needs h2load (Debian: nghttp2-client) and Linux.
"""

import asyncio
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from authz_service.local.parts import Layout, valkey
from authz_service.supervise.process import Part, RunningPart, start
from authz_service.transports.probe import is_serving
from authz_service.wire.pb.ext_authz_pb2 import CheckRequest

# A burst is as many checks as the limit admits, so that every one of them is an allow.
BURST, BURSTS = 1_000, 12
KEY = "bench-key-1"
POLICY = """
version: 1
tiers:
  bench: {rate: 1000/second, quota: 100000000/day, max_upload: 1MB}
upstream: {address: "127.0.0.1:8080"}
routes:
  - {name: all, match: {method: GET, path: /x}}
"""
HEADERS = ("content-type: application/grpc", "te: trailers")


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    server: str
    in_flight: int
    answered: int
    cpu_us: float
    per_second: float


async def main() -> None:
    """Measure every row and print the table."""
    if shutil.which("h2load") is None:
        sys.exit("h2load is not installed (Debian: nghttp2-client)")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        layout = _layout(Path(folder))
        store = await start(valkey(layout))
        await store.until_ready(10)
        try:
            rows = [
                await _measure(layout, server, in_flight)
                for server in ("native", "grpcio")
                for in_flight in (1, 8, 32, 100)
            ]
        finally:
            await store.stop()
    _print(rows)


def _layout(folder: Path) -> Layout:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    (folder / "check.bin").write_bytes(_framed(_check_request()))
    return Layout(
        run_dir=folder,
        policy_file=policy,
        public_port=0,
        scrape_port=0,
        app_port=0,
        workers=1,
        environment=dict(os.environ),
    )


def _check_request() -> bytes:
    """What Envoy sends with its allowed headers: about 200 bytes.

    Without a stream id: h2load sends the same bytes again and again, and checks of one id would
    be charged once and answered from memory.
    """
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path = "GET", "/x"
    for name, value in (
        ("x-api-key", KEY),
        ("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("x-envoy-external-address", "203.0.113.9"),
    ):
        http.header_map.headers.add(key=name, raw_value=value.encode())
    request.attributes.context_extensions["route"] = "all"
    return request.SerializeToString()


def _framed(message: bytes) -> bytes:
    """A gRPC message: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


async def _measure(layout: Layout, server: str, in_flight: int) -> Row:
    worker = await _start_worker(layout, server)
    cpu = rate = 0.0
    answered = 0
    try:
        for burst in range(BURSTS + 1):
            await asyncio.sleep(1.1)  # the window of the limit passes
            before = cpu_seconds(worker.pid)
            per_second, succeeded = await asyncio.to_thread(_load, layout, in_flight, BURST)
            if burst > 0:  # the first one warms up
                cpu += cpu_seconds(worker.pid) - before
                rate += per_second / BURSTS
                answered += succeeded
    finally:
        await worker.stop()
    return Row(server, in_flight, answered, cpu / (BURST * BURSTS) * 1e6, rate)


async def _start_worker(layout: Layout, server: str) -> RunningPart:
    address = f"unix:{layout.authz_sockets[0]}"
    part = Part(
        name="worker",
        command=(sys.executable, "-m", "authz_service", "worker", "0"),
        ready=lambda: is_serving(address),
        environment={
            **layout.environment,
            "API_KEYS": json.dumps([{"key": KEY, "name": "bench", "tier": "bench"}]),
            "AUTHZ_POLICY_FILE": str(layout.policy_file),
            "AUTHZ_RUN_DIR": str(layout.run_dir),
            "AUTHZ_GRPC_LISTEN": address,
            "AUTHZ_GRPC_SERVER": server,
            "REDIS_URL": f"unix://{layout.valkey_socket}",
        },
    )
    running = await start(part)
    await running.until_ready(10)
    return running


def _load(layout: Layout, in_flight: int, checks: int) -> tuple[float, int]:
    """Checks a second, and how many were answered with HTTP 200."""
    connections = min(2, in_flight)
    done = subprocess.run(
        [
            "h2load",
            f"--base-uri=unix:{layout.authz_sockets[0]}",
            *("-n", str(checks), "-c", str(connections), "-m", str(in_flight // connections)),
            *("-d", str(layout.run_dir / "check.bin")),
            *(part for header in HEADERS for part in ("-H", header)),
            "http://localhost/envoy.service.auth.v3.Authorization/Check",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    rate = re.search(r"([0-9.]+) req/s", done)
    succeeded = re.search(r"([0-9]+) succeeded", done)
    return float(rate[1]) if rate else 0.0, int(succeeded[1]) if succeeded else 0


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print(rows: list[Row]) -> None:
    print(f"{'server':<8} {'in flight':>9} {'CPU µs/check':>13} {'checks/s':>9} {'answered':>9}")
    for row in rows:
        print(
            f"{row.server:<8} {row.in_flight:>9} {row.cpu_us:>13.0f}"
            f" {row.per_second:>9.0f} {row.answered:>9}"
        )


if __name__ == "__main__":
    asyncio.run(main())
