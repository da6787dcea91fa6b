"""Processor time and memory of every part for one request through Envoy.

    python bench/stack.py

Starts Valkey, the sidecar with two workers, Envoy, and an application that answers at once; sends
requests of one API key by HTTP/2 and reads processor time and memory from /proc. The key has a
rate and a quota, and every request is admitted. Compare rows of one run: machines and moments
differ. Needs h2load (Debian: nghttp2-client) and Linux.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from check import BURST, BURSTS, KEY, POLICY, cpu_seconds

from authz_service.local.parts import Layout, authz, envoy, valkey
from authz_service.local.ports import claims
from authz_service.supervise.process import Part, RunningPart, start

ROOT = Path(__file__).parents[1]
IN_FLIGHT = 32
CONNECTIONS = 4

Pids = Mapping[str, Sequence[int]]
"""The processes of each part."""


async def main() -> None:
    """Measure and print."""
    if shutil.which("h2load") is None:
        sys.exit("h2load is not installed (Debian: nghttp2-client)")
    async with AsyncExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        layout = _layout(Path(folder))
        parts = [
            await _started(part, running)
            for part in (valkey(layout), _application(layout), authz(layout), envoy(layout))
        ]
        store, _, sidecar, proxy = (part.pid for part in parts)
        pids = {
            "Envoy": [proxy],
            "workers": list(_children(sidecar)),
            "supervisor": [sidecar],
            "Valkey": [store],
        }
        idle = {name: _memory_bytes(of) for name, of in pids.items()}
        spent, answered = await _spend(layout, pids)
        _print(pids, spent, answered, idle)


def _layout(folder: Path) -> Layout:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    keys = [{"key": KEY, "name": "bench", "tier": "bench"}]
    with claims() as claim:
        public, scrape, app, metrics = (claim(0, purpose="bench", setting="") for _ in range(4))
    return Layout(
        run_dir=folder,
        policy_file=policy,
        public_port=public,
        scrape_port=scrape,
        app_port=app,
        all_metrics_port=metrics,
        environment={**os.environ, "API_KEYS": json.dumps(keys)},
    )


def _application(layout: Layout) -> Part:
    command = (sys.executable, "-m", "tests.e2e.plain_upstream", str(layout.app_port))
    return Part(
        name="application",
        command=command,
        ready=lambda: _listens(layout.app_port),
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _started(part: Part, running: AsyncExitStack) -> RunningPart:
    # Envoy's access lines would fill a pipe that nobody reads.
    started = await start(replace(part, stdout=subprocess.DEVNULL))
    running.push_async_callback(started.stop)
    await started.until_ready(20)
    return started


async def _spend(layout: Layout, pids: Pids) -> tuple[Mapping[str, float], int]:
    """Seconds of processor time by part, and how many requests were answered with 200."""
    spent = dict.fromkeys(pids, 0.0)
    answered = 0
    for burst in range(BURSTS + 1):
        await asyncio.sleep(1.1)  # the window of the limit passes
        before = {name: _seconds(of) for name, of in pids.items()}
        succeeded = await asyncio.to_thread(_load, layout.public_port)
        if burst > 0:  # the first one warms up
            answered += succeeded
            for name, of in pids.items():
                spent[name] += _seconds(of) - before[name]
    return spent, answered


def _load(port: int) -> int:
    done = subprocess.run(
        [
            "h2load",
            *("-n", str(BURST), "-c", str(CONNECTIONS), "-m", str(IN_FLIGHT // CONNECTIONS)),
            *("-H", f"x-api-key: {KEY}"),
            f"http://127.0.0.1:{port}/x",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    found = re.search(r"([0-9]+) 2xx", done)
    return int(found[1]) if found else 0


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text("ascii").split())


def _seconds(pids: Sequence[int]) -> float:
    return sum(map(cpu_seconds, pids))


def _memory_bytes(pids: Sequence[int]) -> int:
    """What the processes have to themselves, and their part of what they share (PSS)."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text("ascii") for pid in pids)
    return sum(int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0]) * 1024 for text in texts)


def _print(pids: Pids, spent: Mapping[str, float], answered: int, idle: Mapping[str, int]) -> None:
    print(f"{answered} of {BURST * BURSTS} requests answered with 200, {IN_FLIGHT} in flight")
    print(f"{'part':<12} {'processes':>9} {'CPU µs/request':>15} {'idle MB':>8} {'after MB':>9}")
    for name, of in pids.items():
        print(
            f"{name:<12} {len(of):>9} {spent[name] / answered * 1e6:>15.0f}"
            f" {idle[name] / 1e6:>8.0f} {_memory_bytes(of) / 1e6:>9.0f}"
        )


if __name__ == "__main__":
    asyncio.run(main())
