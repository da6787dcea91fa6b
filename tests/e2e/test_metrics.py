"""What Prometheus scrapes is what clients saw."""

import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.client import HOST, MULTIPART, Client
from tests.e2e.conftest import encoded
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack, running
from tests.monitoring.rule_files import TARGET_LABELS, known

LIMITS = "/api/v1/images/limits"
UPSCALE = "/api/v1/images/upscale"
JOB = "/api/v1/jobs/{job_id}"

Labels = frozenset[tuple[str, str]]
Series = Mapping[tuple[str, Labels], float]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of its own, so that every count is of this module's requests."""
    with running() as started:
        yield started


def scraped(client: Client) -> Series:
    """Every sample of one scrape."""
    text = client.get("/metrics").body.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    """One sample; 0 if there is none."""
    return series.get((name, frozenset(labels.items())), 0.0)


def mixed_traffic(stack: Stack) -> Counter[tuple[str, str, str]]:
    """Every kind of answer a client can get, counted as the client sees it."""
    client, seen = stack.client, Counter[tuple[str, str, str]]()
    free, pro, brief = stack.fresh_key("free"), stack.fresh_key("pro"), stack.fresh_key("brief")

    def sent(method: str, endpoint: str, status: int) -> None:
        seen[method, endpoint, str(status)] += 1

    for _ in range(12):  # ten pass, two are over the limit
        sent("GET", LIMITS, client.get(LIMITS, [("X-API-Key", free)]).status)
    for _ in range(3):
        sent("GET", LIMITS, client.get(LIMITS, [("X-API-Key", "unknown-key")]).status)
    for _ in range(2):
        sent("PUT", LIMITS, client.send("PUT", LIMITS).status)
    for path in ("/nowhere", "/nowhere/else"):
        sent("GET", "other", client.get(path).status)
    sent("GET", "other", client.get("/api%2fv1").status)
    for body in (encoded("JPEG"), b"no image"):
        sent("POST", UPSCALE, client.upload(pro, body, headers=[("Prefer", "wait=30")]).status)
    sent("POST", UPSCALE, client.upload(brief, bytes(200_000)).status)
    sent("GET", JOB, client.get("/api/v1/jobs/unknown", [("X-API-Key", pro)]).status)
    sent("GET", "/healthz", client.get("/healthz").status)
    for _ in range(2):
        abort_an_upload(client, pro)
        sent("POST", UPSCALE, 499)
    return seen


def abort_an_upload(client: Client, key: str) -> None:
    """Send half a body and hang up once Envoy and the application have begun with it."""
    with socket.create_connection((HOST, client.port), timeout=5) as connection:
        head = (
            f"POST {UPSCALE} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
            f"Content-Type: {MULTIPART}\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(5_000))
        time.sleep(0.3)


def test_every_request_is_counted_once_as_the_client_saw_it(stack: Stack) -> None:
    """Passes, denials, Envoy's own errors and aborts: totals, durations, none in progress."""
    before = settled(stack)
    seen = mixed_traffic(stack)

    after = settled(stack)

    totals = grown(before, after, "imagen_http_requests_total")
    assert {
        (labels["method"], labels["endpoint"], labels["status_code"]): count
        for labels, count in totals
    } == dict(seen)
    durations = grown(before, after, "imagen_http_request_duration_seconds_count")
    requests = Counter[tuple[str, str]]()
    for (method, endpoint, _), count in seen.items():
        requests[method, endpoint] += count
    assert {(labels["method"], labels["endpoint"]): n for labels, n in durations} == dict(requests)
    for method, endpoint in requests:
        labels = {"method": method, "endpoint": endpoint}
        assert value(after, "imagen_http_requests_in_progress", **labels) == 0


ALLOWED = {"route": "limits", "decision": "allow", "reason": "ok", "tier": "pro"}


def test_decisions_are_counted_over_all_workers(stack: Stack) -> None:
    """Whichever worker decided; and so are their stages."""
    key = stack.fresh_key("pro")
    before = decisions(stack)

    for _ in range(20):
        assert stack.client.get(LIMITS, [("X-API-Key", key)]).status == 200

    assert [later - it for later, it in zip(decisions(stack), before, strict=True)] == [20, 20]


def decisions(stack: Stack) -> tuple[float, float]:
    """How many allows there were, and how many checks had been metered."""
    shown = scraped(stack.operations)
    metered = value(shown, "authz_stage_duration_seconds_count", stage="meter")
    return value(shown, "authz_decisions_total", **ALLOWED), metered


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker in /proc")
def test_what_a_dead_worker_counted_is_kept(stack: Stack) -> None:
    """What was scraped before a SIGKILL is there after it, and so is the restart."""
    stack.client.get(LIMITS, [("X-API-Key", stack.fresh_key("pro"))])
    first = scraped(stack.operations)
    before = value(first, "authz_decisions_total", **ALLOWED)
    victim = worker_pids(stack)[0]

    os.kill(victim, signal.SIGKILL)
    while victim in worker_pids(stack) or len(worker_pids(stack)) < 2 or serving(stack) < 2:
        time.sleep(0.05)

    last = scraped(stack.operations)
    assert value(last, "authz_decisions_total", **ALLOWED) == before > 0
    assert grown(first, last, "authz_worker_restarts_total") == [({"reason": "died"}, 1)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells memory")
def test_processor_time_and_memory_are_told_of_supervisor_and_workers(stack: Stack) -> None:
    """Each kind of process has taken some of both."""
    shown = scraped(stack.operations)

    for process in ("supervisor", "worker"):
        assert value(shown, "authz_process_cpu_seconds_total", process=process) > 0.01
        assert value(shown, "authz_process_resident_memory_bytes", process=process) > 1_000_000


def serving(stack: Stack) -> int:
    """How many workers serve, as readiness tells it."""
    return int(stack.operations.get("/readyz").json()["details"]["workers"]["serving"])


def worker_pids(stack: Stack) -> list[int]:
    """The workers of this stack."""
    run_dir = f"AUTHZ_RUN_DIR={stack.run_dir}".encode()
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit()
        and b"\0authz_service\0worker\0" in read(folder / "cmdline")
        and run_dir in read(folder / "environ")
    ]


def read(file: Path) -> bytes:
    """What a file of a process says; nothing, once the process has ended."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_the_image_service_counts_its_jobs(stack: Stack) -> None:
    """Created, completed, and the size of what was uploaded, on the ports of its processes."""
    before, worked_before = (scraped(it) for it in image_ports(stack))
    image = encoded("PNG")

    done = stack.client.upload(stack.fresh_key(), image, headers=[("Prefer", "wait=30")])

    assert done.status == 200
    upscale, done_well = {"job_type": "upscale"}, {"job_type": "upscale", "status": "success"}
    # The worker counts what it has just told the client's process of.
    completed = eventually(
        lambda: grown(
            worked_before, scraped(stack.image_worker_operations), "imagen_jobs_completed_total"
        )
    )
    assert completed == [(done_well, 1)]
    after = scraped(stack.image_operations)
    assert grown(before, after, "imagen_jobs_created_total") == [(upscale, 1)]
    assert grown(before, after, "imagen_upload_file_size_bytes_sum") == [(upscale, len(image))]
    assert value(after, "imagen_queue_depth", queue_name="upscale-jobs") == 0


def image_ports(stack: Stack) -> tuple[Client, Client]:
    """The API's, then the worker's."""
    return stack.image_operations, stack.image_worker_operations


def test_the_public_port_of_the_local_stack_shows_everything(stack: Stack) -> None:
    """One curl for a person: everybody's series, each once and each family together."""
    stack.client.get(LIMITS, [("X-API-Key", stack.fresh_key())])
    text = stack.client.get("/metrics").body.decode()
    samples = [
        (sample.name, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(samples) == len(set(samples))
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    names = {name for name, _ in samples}

    assert {"imagen_http_requests_total", "authz_decisions_total", "authz_build_info"} <= names
    assert {"imagen_queue_depth", "imagen_job_processing_seconds_count"} <= names
    assert "envoy_server_live" in names


def test_envoys_own_port_shows_what_alerts_read(stack: Stack) -> None:
    """With the documented labels; errors of limits are there from the first one on."""
    stack.client.get(LIMITS, [("X-API-Key", stack.fresh_key())])

    # Not parsed: the parser adds the `_total` that Envoy leaves out, and Prometheus does not.
    text = stack.scrape.get("/metrics").body.decode()
    shown = {
        name: set(re.findall(r'(\w+)="', labels))
        for name, labels in re.findall(r"^(\w+)\{(.*)\}", text, re.MULTILINE)
    }
    documented = {
        name: set(series.labels - TARGET_LABELS)
        for name, series in known().items()
        if name.startswith("envoy_") and name != "envoy_cluster_ratelimit_error"
    }
    assert len(documented) > 5
    assert {name: shown.get(name) for name in documented} == documented


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker in /proc")
def test_checks_that_no_worker_answers_are_counted_by_envoy_alone(stack: Stack) -> None:
    """Workers that hang count nothing, so an objective that asked them would see no trouble."""
    key = [("X-API-Key", stack.fresh_key())]
    errors = total(scraped(stack.scrape), "envoy_http_ext_authz_error_total")
    decisions = total(scraped(stack.operations), "authz_decisions_total")
    workers = worker_pids(stack)

    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert stack.client.get(LIMITS, key).status == 503
        assert total(scraped(stack.operations), "authz_decisions_total") == decisions
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

    assert total(scraped(stack.scrape), "envoy_http_ext_authz_error_total") == errors + 1
    assert eventually(lambda: stack.client.get(LIMITS, key).status == 200)


def test_the_operators_port_answers_three_questions(stack: Stack) -> None:
    """Metrics, health and readiness with details; nothing else."""
    ready = stack.operations.get("/readyz")

    assert ready.status == 200
    assert ready.json()["status"] == "ready"
    assert ready.json()["details"]["workers"] == {"serving": 2, "of": 2}
    assert stack.operations.get("/healthz").json() == {"status": "ok"}
    assert stack.operations.get("/").status == 404


def settled(stack: Stack) -> Series:
    """A scrape in which Envoy's histograms, which follow within a second, have caught up."""
    for _ in range(100):
        series = scraped(stack.operations)
        totals = total(series, "imagen_http_requests_total")
        if totals == total(series, "imagen_http_request_duration_seconds_count"):
            break
        time.sleep(0.1)
    return series


def total(series: Series, name: str) -> float:
    """The sum over all labels."""
    return sum(found for (each, _), found in series.items() if each == name)


def grown(before: Series, after: Series, name: str) -> list[tuple[dict[str, str], float]]:
    """What a counter has grown by, for each set of labels that has grown."""
    return [
        (dict(labels), found - before.get((each, labels), 0.0))
        for (each, labels), found in after.items()
        if each == name and found > before.get((each, labels), 0.0)
    ]
