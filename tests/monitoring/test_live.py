"""What a real Prometheus knows after it scraped the real stack: numbers that are right, for all."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from authz_service.clock import SystemClock
from tests.e2e.counted import Counted
from tests.e2e.processes import eventually
from tests.e2e.stack import Stack
from tests.monitoring.dashboard_prometheus import Prometheus, prometheus
from tests.monitoring.dashboard_queries import queries, series_of
from tests.monitoring.live_stack import Callers, authorizer, give_up, live_stack, one_of_each

PROGRAM: Final = shutil.which("prometheus")
ROUNDS: Final = 6
SEEN_WITHIN_S: Final = 20.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(PROGRAM is None, reason="there is no prometheus on the PATH"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="stops processes found in /proc"
    ),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, so that every count is of this module's requests."""
    with live_stack(tmp_path_factory.mktemp("live")) as started:
        yield started


@pytest.fixture(scope="module")
def scraping(stack: Stack) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it, and an authorizer that has what it has not."""
    assert PROGRAM is not None
    with authorizer() as gateway, prometheus(PROGRAM, stack, gateway) as started:
        yield started


def test_every_panel_shows_something(stack: Stack, scraping: Prometheus) -> None:
    """Each query of each panel gets numbers, after a few seconds of every kind of traffic."""
    start_s = now_s()
    callers = Callers.of(stack)
    statuses = set()
    for _ in range(ROUNDS):
        statuses |= one_of_each(stack, callers)
        time.sleep(1)  # a scrape
    give_up(stack, callers)

    assert statuses == {200, 202, 400, 401, 403, 404, 413, 429, 503}
    assert silent(scraping, start_s) == []


def test_every_rule_can_be_evaluated(scraping: Prometheus) -> None:
    """Over the series of the real stack: matching that is ambiguous shows only there."""
    eventually(lambda: "unknown" not in scraping.rules().values())

    assert {name for name, health in scraping.rules().items() if health != "ok"} == set()


def test_every_count_is_what_the_client_counted(stack: Stack, scraping: Prometheus) -> None:
    """Requests, durations, decisions, jobs and uploads: each cell, and nothing more."""
    before = counts(scraping, now_s())
    counted = Counted(stack)
    counted.send_one_of_each()
    counted.send_to_a_stopped_application()

    after = counts(scraping, now_s())

    seen: Counts = {
        "requests": counted.requests,
        "durations": counted.durations,
        "decisions": {(reason,): count for reason, count in counted.decisions.items()},
        "created": {("upscale",): counted.jobs.total()},
        "completed": {("upscale", status): count for status, count in counted.jobs.items()},
        "processed": {("upscale",): counted.jobs["success"] + counted.jobs["failure"]},
        "files": {("upscale",): len(counted.files)},
        "bytes": {("upscale",): sum(counted.files)},
    }
    assert differences(before, after, seen) == {}
    assert scraping.table("imagen_queue_depth", "queue_name") == {("upscale-jobs",): 0}
    assert scraping.table("imagen_http_requests_in_progress != 0", "method", "endpoint") == {}


COUNTS: Final = {
    "requests": ("imagen_http_requests_total", ("method", "endpoint", "status_code")),
    "durations": ("imagen_http_request_duration_seconds_count", ("method", "endpoint")),
    "decisions": ("sum by (reason) (authz_decisions_total)", ("reason",)),
    "created": ("imagen_jobs_created_total", ("job_type",)),
    "completed": ("imagen_jobs_completed_total", ("job_type", "status")),
    "processed": ("imagen_job_processing_seconds_count", ("job_type",)),
    "files": ("imagen_upload_file_size_bytes_count", ("job_type",)),
    "bytes": ("imagen_upload_file_size_bytes_sum", ("job_type",)),
}
"""What is asked for, and the labels that tell its lines apart."""

Counts = Mapping[str, Mapping[tuple[str, ...], float]]


def counts(scraping: Prometheus, since_s: float) -> Counts:
    """All of them, of a scrape after this time."""
    eventually(lambda: scraping.has_settled(since_s))
    return {name: scraping.table(query, *labels) for name, (query, labels) in COUNTS.items()}


def differences(
    before: Counts, after: Counts, seen: Counts
) -> dict[tuple[str, ...], tuple[float, float]]:
    """The cells that have not grown by what was seen: by how much they have, and should have."""
    found = {}
    for name, table in after.items():
        for labels in {*table, *seen[name]}:
            growth = table.get(labels, 0) - before[name].get(labels, 0)
            if growth != (expected := seen[name].get(labels, 0)):
                found[name, *labels] = growth, expected
    return found


def silent(scraping: Prometheus, start_s: float) -> list[tuple[str, str]]:
    """The panels and queries without a number, once no more of them get one.

    Each selector counts as a query too: a share is 0 also where its part has a mistyped label.
    """
    left = [
        (title, asked)
        for title, query in queries()
        for asked in (query, *(use.selector for use in series_of(query)))
    ]
    ends = time.perf_counter() + SEEN_WITHIN_S
    while left and time.perf_counter() < ends:
        time.sleep(1)
        left = [it for it in left if not scraping.numbers(it[1], start_s=start_s, end_s=now_s())]
    return left


def now_s() -> float:
    """The wall clock, which Prometheus goes by."""
    return SystemClock().now_ms() / 1000
