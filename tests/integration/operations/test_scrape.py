"""One scrape over real parts: workers in processes of their own, and a real Envoy."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from authz_service.envoyconf.render import render
from authz_service.observe.envoy_stats import stats_filter
from authz_service.observe.merge import Merger
from authz_service.observe.metrics import GAUGE_RULES
from authz_service.transports import scrape as scrape_module
from authz_service.transports.scrape import Scrape
from tests.integration.envoyconf.envoy_process import Envoy, local_settings, running
from tests.integration.envoyconf.stub_upstream import StubUpstream, policy_for

_WORKER = """
import asyncio, sys, uvloop
from pathlib import Path
from authz_service.core.respond import Pass
from authz_service.observe.metrics import Metrics
from authz_service.testing.builders import facts
from authz_service.transports.metrics_socket import MetricsSocket

async def main(path, decisions):
    metrics = Metrics()
    told = {"route": "r", "reason": "ok", "tier": "free", "decision_id": "d"}
    for _ in range(decisions):
        metrics.decided(facts(), Pass((), (), (), told), 0.001)
    metrics.keys_loaded(decisions)
    served = MetricsSocket(Path(path), exposition=metrics.exposition)
    await served.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

uvloop.run(main(sys.argv[1], int(sys.argv[2])))
"""
_DECIDED = "authz_decisions_total"
_NO_ENVOY = Path("/nonexistent/admin.sock")


@contextmanager
def worker(path: Path, decisions: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has decided so often; killed on the way out."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(path), str(decisions)], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def workers(folder: Path) -> Iterator[dict[str, Path]]:
    """Two of them: 3 and 5 decisions."""
    paths = {"a": folder / "a", "b": folder / "b"}
    with ExitStack() as stack:
        for path, decisions in zip(paths.values(), (3, 5), strict=True):
            stack.enter_context(worker(path, decisions))
        yield paths


def values(text: bytes) -> dict[str, float]:
    """The sum of every series by name."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def errors(text: bytes) -> dict[str, float]:
    """How often each source was left out."""
    return {
        sample.labels["source"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == "authz_scrape_errors_total"
    }


def scrape_of(workers: dict[str, Path], envoy: Path = _NO_ENVOY) -> tuple[Scrape, Merger]:
    """What the supervisor builds."""
    merger = Merger(GAUGE_RULES)
    return Scrape(
        merger, workers=lambda: workers, envoy_admin=envoy, prefix=lambda: "imagen"
    ), merger


async def test_workers_are_shown_as_one(workers: dict[str, Path]) -> None:
    """Counters added up, gauges by their rule; a missing Envoy is left out and counted."""
    scrape, _ = scrape_of(workers)
    text, content_type = await scrape("")
    assert values(text)[_DECIDED] == 8
    assert values(text)["authz_keys_loaded"] == 3
    assert content_type.startswith("text/plain")
    assert errors(text) == {"worker": 0, "envoy": 1}


async def test_a_killed_worker_keeps_what_it_had_shown(
    workers: dict[str, Path], folder: Path
) -> None:
    """Its successor's count is added to it."""
    scrape, merger = scrape_of(workers)
    with worker(folder / "c", 10) as process:
        workers["c"] = folder / "c"
        await scrape.refresh()
        process.send_signal(signal.SIGKILL)
        process.wait()
        text, _ = await scrape("")
        assert values(text)[_DECIDED] == 18
        assert errors(text)["worker"] == 1
    merger.retire("c")
    with worker(folder / "c", 1):
        text, _ = await scrape("")
        assert values(text)[_DECIDED] == 19
        assert errors(text)["worker"] == 1


async def test_a_silent_or_babbling_worker_does_not_spoil_a_scrape(
    workers: dict[str, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are shown, within the deadline of one part."""
    monkeypatch.setattr(scrape_module, "_PART_SECONDS", 0.3)
    scrape, _ = scrape_of(workers)

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xffnonsense{")
        writer.close()

    babbling = await asyncio.start_unix_server(babble, folder / "babbling")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "silent"))
        silent.listen()
        workers |= {name: folder / name for name in ("babbling", "silent")}
        async with asyncio.timeout(5):
            text, _ = await scrape("")
    babbling.close()
    assert values(text)[_DECIDED] == 8
    assert errors(text)["worker"] == 2


async def test_a_retired_worker_does_not_come_back(workers: dict[str, Path]) -> None:
    """Also when its answer was already on its way."""
    merger = Merger(GAUGE_RULES)
    scrape = Scrape(
        merger, workers=lambda: dict(workers), envoy_admin=_NO_ENVOY, prefix=lambda: "imagen"
    )
    await scrape.refresh()
    refreshing = asyncio.create_task(scrape.refresh())
    await asyncio.sleep(0)
    del workers["b"]
    merger.retire("b")
    await refreshing
    text, _ = await scrape("")
    assert values(text)[_DECIDED] == 8


@pytest.fixture
def upstream() -> Iterator[StubUpstream]:
    """The application."""
    server = StubUpstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def envoy(folder: Path, upstream: StubUpstream) -> Iterator[Envoy]:
    """Envoy with the policy of the image service; nobody authorizes."""
    settings = local_settings(folder)
    with running(render(policy_for(upstream), settings), settings) as started:
        yield started


async def test_envoys_requests_have_our_names(envoy: Envoy, workers: dict[str, Path]) -> None:
    """Counted under their path template, timed in seconds; nothing else of Envoy's is shown."""
    scrape, _ = scrape_of(workers, Path(envoy.settings.admin_socket))
    text, _ = await scrape("")
    before = values(text).get("imagen_http_requests_total", 0)
    envoy.public.send("GET", "/readyz")
    async with asyncio.timeout(10):
        while values(text).get("imagen_http_requests_total", 0) <= before:
            await asyncio.sleep(0.1)
            text, _ = await scrape("")
    assert errors(text) == {"worker": 0, "envoy": 0}
    assert b'imagen_http_requests_total{endpoint="/readyz",method="GET",status_code="' in text
    assert b"\nenvoy_" not in text
    # A full list is a hundred times as long: Envoy is asked for these alone.
    asked = await scrape_module._envoy_stats(
        Path(envoy.settings.admin_socket), stats_filter("imagen")
    )
    assert {line.split("{")[0][:26] for line in asked.splitlines() if line[:1] != "#"} <= {
        "envoy_imagen_http_requests",
        "envoy_imagen_http_request_",
        "",
    }
    assert values(text)[_DECIDED] == 8
    async with asyncio.timeout(10):
        while "imagen_http_request_duration_seconds_bucket" not in values(text):
            await asyncio.sleep(0.1)
            text, _ = await scrape("")
    assert b'imagen_http_request_duration_seconds_bucket{endpoint="/readyz",le="0.0025"' in text


async def test_what_workers_and_the_supervisor_both_tell_is_one_family(
    workers: dict[str, Path],
) -> None:
    """A gauge of both is announced once; the greatest of all is shown."""
    scrape, _ = scrape_of(workers)
    ours = Gauge("authz_policy_failed", "As workers have it.", registry=None)
    ours.set(7)
    scrape.register(ours)
    for _ in range(2):
        text, _ = await scrape("")
        assert text.count(b"# TYPE authz_policy_failed ") == 1
        assert values(text)["authz_policy_failed"] == 7
